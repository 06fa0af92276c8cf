#!/usr/bin/env python3
"""Klamm beside other Kafka clients, in one interleaved run: python3 benches/compare.py

Builds the programs (rdkafka compiles C: some minutes, once), starts a Kafka of its own (Java 17 and Maven are needed, as for
the live tests), and prints a table each for producing and for consuming. Every repetition runs every program once, in rotated
order; producing goes to a fresh topic each time, consuming reads one prepared topic. What to judge by is the processor time a
million records, user and system, of all threads in the measured phase, and the median over the repetitions of its ratio to
the base within the same repetition, so that a slow drift of the machine cancels. Records a second on a machine that the
broker shares are bounded by the broker: they are shown, not to be judged by. Fails where klamm costs more than its floor.

Consumers check CRCs, and must have seen the same records (count and a sum over values and offsets), or the run fails.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# name: (which program, its flags, its modes)
PROGRAMS = {
    "floor": ("klamm-peer-floor", [], ("produce", "consume")),
    "rdkafka-base": ("klamm-peer-rdkafka", [], ("produce", "consume")),
    "rdkafka-batch": ("klamm-peer-rdkafka", ["--variant", "batch"], ("consume",)),
    "klamm": ("peer", [], ("produce", "consume")),
    "klamm-future": ("peer", ["--variant", "future"], ("produce",)),
    "klamm-record": ("peer", ["--variant", "record"], ("consume",)),
}


# What klamm must not cost more than, for each record and beside whom.
FLOORS = {"produce": ("rdkafka-base", 0.5), "consume": ("rdkafka-batch", 1.0)}


def build(names):
    """Builds the programs that the run needs and returns where each lies."""
    peers = sorted({PROGRAMS[name][0] for name in names} - {"peer"})
    commands = [["--release", "--manifest-path", str(ROOT / "benches/peers/Cargo.toml")] + [word for peer in peers for word in ("-p", peer)],
                ["-p", "klamm-live", "--features", "live", "--example", "kafka"]]
    if any(PROGRAMS[name][0] == "peer" for name in names):
        commands.append(["--release", "-p", "klamm-benches", "--bin", "peer"])
    found = {}
    for command in commands:
        out = subprocess.run(["cargo", "build", "--message-format=json-render-diagnostics", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        for line in out.splitlines():
            message = json.loads(line)
            if message.get("executable"):
                found[message["target"]["name"]] = message["executable"]
    return found


def start_kafka(program):
    """A Kafka that ends with this process, and its address."""
    kafka = subprocess.Popen([program], env=dict(os.environ, KLAMM_MEASURED="1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    address = kafka.stdout.readline().strip()
    if not address:
        sys.exit("Kafka did not start: what it said is above")
    return kafka, address


class Run:
    def __init__(self, args, programs, brokers):
        self.args, self.programs, self.brokers = args, programs, brokers

    def call(self, name, mode, topic, *more):
        program, flags, _ = PROGRAMS[name]
        command = [self.programs[program], mode, "--brokers", self.brokers, "--topic", topic, "--partitions", str(self.args.partitions), *flags, *more]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self.args.timeout)
        except subprocess.TimeoutExpired:
            sys.exit(f"{name} {mode} has not ended after {self.args.timeout} s: {' '.join(command)}")
        if done.returncode:
            sys.exit(f"{name} {mode} failed ({done.returncode}): {' '.join(command)}\n{done.stderr[-2000:]}")
        return done.stdout

    def work(self, name, mode, topic, records):
        a = self.args
        out = self.call(name, mode, topic, "--records", str(records), "--warmup", str(records // 10), "--size", str(a.size),
                        "--batch", str(a.batch), "--linger", str(a.linger), "--compression", a.compression)
        line = json.loads(out.splitlines()[-1])
        if line["records"] != records:
            sys.exit(f"{name} {mode}: {line['records']} records instead of {records}")
        return line

    def topic(self, mode, topic):
        self.call("rdkafka-base", mode, topic)

    def produce(self, names):
        """Names to one result a repetition."""
        results = {name: [] for name in names}
        for repetition in range(self.args.repetitions):
            for name in rotated(names, repetition):
                topic = f"produce-{name}-{repetition}"
                self.topic("create", topic)
                results[name].append(self.work(name, "produce", topic, self.args.records))
                self.topic("delete", topic)
        return results

    def consume(self, names):
        """Names to one result a repetition."""
        records = self.args.records * 3
        self.topic("create", "consume")
        self.call("rdkafka-base", "produce", "consume", "--records", str(records), "--size", str(self.args.size),
                  "--batch", str(self.args.batch), "--compression", self.args.compression)
        # The first run pays for memory that the machine has not touched lately.
        self.work(names[0], "consume", "consume", records)
        results = {name: [] for name in names}
        for repetition in range(self.args.repetitions):
            for name in rotated(names, repetition):
                results[name].append(self.work(name, "consume", "consume", records))
        seen = {(r["bytes"], r["sum"]) for lines in results.values() for r in lines}
        if len(seen) != 1:
            sys.exit(f"the consumers did not see the same records: {results}")
        return results


def rotated(names, by):
    by %= len(names)
    return names[by:] + names[:by]


def ratio_to(results, name, base):
    return statistics.median(r["cpu_s_per_m"] / b["cpu_s_per_m"] for r, b in zip(results[name], results[base]))


def table(title, results, base):
    print(f"\n{title}\n\n| program | CPU s/M: min / median / max | ratio to {base} | k records/s: min / median / max | peak RSS, MiB |")
    print("|---|---|---|---|---|")
    for name, lines in results.items():
        spread = lambda key, by, digits: " / ".join(f"{f([r[key] * by for r in lines]):.{digits}f}" for f in (min, statistics.median, max))
        print(f"| {name} | {spread('cpu_s_per_m', 1, 3)} | {ratio_to(results, name, base):.2f} | {spread('rec_per_s', 1e-3, 0)} | {max(r['rss_kb'] for r in lines) / 1024:.0f} |")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modes", nargs="*", default=["produce", "consume"], help="produce, consume")
    parser.add_argument("--programs", default=",".join(PROGRAMS), help="which, of %(default)s")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000, help="to produce; three times as many are consumed")
    parser.add_argument("--size", type=int, default=100, help="bytes of a value")
    parser.add_argument("--batch", type=int, default=16384, help="batch.size")
    parser.add_argument("--linger", type=int, default=5, help="linger.ms")
    parser.add_argument("--compression", default="none")
    parser.add_argument("--partitions", type=int, default=3)
    parser.add_argument("--timeout", type=int, default=180, help="seconds that one run may take")
    args = parser.parse_args()
    names = args.programs.split(",")
    programs = build(set(names) | {"rdkafka-base"})
    kafka, brokers = start_kafka(programs["kafka"])
    failed = []
    try:
        run = Run(args, programs, brokers)
        shape = f"{args.size} B, batch {args.batch} B, linger {args.linger} ms, {args.compression}, {args.partitions} partitions, {args.repetitions} repetitions"
        for mode in args.modes:
            chosen = [n for n in names if mode in PROGRAMS[n][2]]
            base, most = FLOORS[mode]
            results = getattr(run, mode)(chosen)
            table(f"## {mode}: {shape}", results, base if base in results else chosen[0])
            if {"klamm", base} <= results.keys() and (ratio := ratio_to(results, "klamm", base)) > most:
                failed.append(f"{mode}: klamm costs {ratio:.2f} of {base}, at most {most} is allowed")
    finally:
        kafka.stdin.close()
        kafka.wait()
    if failed:
        sys.exit("\n".join(failed))


main()
