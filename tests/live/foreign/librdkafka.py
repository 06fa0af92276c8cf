"""Whole records in and out of partition 0, by librdkafka: src/whole_records.rs runs this.

librdkafka.py produce BOOTSTRAP TOPIC CODEC    the records of the standard input, in one batch, until all are acknowledged
librdkafka.py consume BOOTSTRAP TOPIC COUNT    the first COUNT records

A record is a line: time, key, value, and a header each as NAME=VALUE; consumed ones begin with their offset. Bytes are
hexadecimal in quotation marks, ~ is null.
"""

import sys

from confluent_kafka import Consumer, Producer, TopicPartition

LIMIT_SECONDS = 30


def read(field):
    return None if field == "~" else bytes.fromhex(field.strip('"'))


def show(field):
    return "~" if field is None else f'"{field.hex()}"'


def produce(bootstrap, topic, codec):
    failed = []
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "compression.type": codec,
        "linger.ms": 1000,
        "acks": "all",
    })
    for line in sys.stdin:
        time, key, value, *headers = line.split()
        headers = [header.split("=") for header in headers]
        producer.produce(
            topic,
            partition=0,
            timestamp=int(time),
            key=read(key),
            value=read(value),
            headers=[(read(name).decode(), read(value)) for name, value in headers],
            on_delivery=lambda error, _: error and failed.append(error),
        )
    left = producer.flush(LIMIT_SECONDS)
    if left or failed:
        sys.exit(f"{left} records are not acknowledged, {failed}")


def consume(bootstrap, topic, count):
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "none",
        "enable.auto.commit": False,
        # librdkafka checks no CRC unless it is told to.
        "check.crcs": True,
    })
    consumer.assign([TopicPartition(topic, 0, 0)])
    for _ in range(int(count)):
        record = consumer.poll(LIMIT_SECONDS)
        if record is None or record.error():
            sys.exit(f"no record: {record and record.error()}")
        headers = [f"{show(name.encode())}={show(value)}" for name, value in record.headers() or []]
        fields = [record.offset(), record.timestamp()[1], show(record.key()), show(record.value())]
        print(*fields, *headers)
    consumer.close()


{"produce": produce, "consume": consume}[sys.argv[1]](*sys.argv[2:])
