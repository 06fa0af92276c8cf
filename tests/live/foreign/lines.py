"""Lines in and out of partitions, by kafka-python: src/foreign.rs runs this.

lines.py produce BOOTSTRAP TOPIC PARTITION CODEC    the lines of the standard input, until all are acknowledged
lines.py consume BOOTSTRAP TOPIC PARTITION COUNT    the first COUNT values, one a line
lines.py join BOOTSTRAP TOPIC GROUP TIMEOUT         the values of what this member of the group gets, until SIGTERM
"""

import signal
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

LIMIT_SECONDS = 30


def produce(bootstrap, topic, partition, codec):
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type=None if codec == "none" else codec,
    )
    lines = sys.stdin.read().splitlines()
    sent = [producer.send(topic, line.encode(), partition=int(partition)) for line in lines]
    for record in sent:
        record.get(timeout=LIMIT_SECONDS)
    producer.close()


def consume(bootstrap, topic, partition, count):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        check_crcs=True,
        consumer_timeout_ms=LIMIT_SECONDS * 1000,
    )
    source = TopicPartition(topic, int(partition))
    consumer.assign([source])
    consumer.seek_to_beginning(source)
    left = int(count)
    for record in consumer:
        print(record.value.decode())
        left -= 1
        if left == 0:
            break
    consumer.close()
    if left:
        sys.exit(f"{left} records of {count} are missing")


def join(bootstrap, topic, group, session_timeout_ms):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        session_timeout_ms=int(session_timeout_ms),
        heartbeat_interval_ms=1000,
    )

    def leave(*_):
        consumer.close()
        sys.exit()

    signal.signal(signal.SIGTERM, leave)
    for record in consumer:
        print(record.value.decode(), flush=True)


{"produce": produce, "consume": consume, "join": join}[sys.argv[1]](*sys.argv[2:])
