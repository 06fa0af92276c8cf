// Whole records in and out of partition 0, by franz-go: src/whole_records.rs runs this.
//
//	franz produce BOOTSTRAP TOPIC CODEC    the records of the standard input, in one batch, until all are acknowledged
//	franz consume BOOTSTRAP TOPIC COUNT    the first COUNT records
//
// A record is a line: time, key, value, and a header each as NAME=VALUE; consumed ones begin with their offset. Bytes
// are hexadecimal in quotation marks, ~ is null.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const limit = 120 * time.Second

func main() {
	if len(os.Args) != 5 {
		fail(fmt.Errorf("usage: franz produce BOOTSTRAP TOPIC CODEC | franz consume BOOTSTRAP TOPIC COUNT"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	bootstrap, topic, last := kgo.SeedBrokers(os.Args[2]), os.Args[3], os.Args[4]
	if os.Args[1] == "produce" {
		produce(ctx, bootstrap, topic, last)
	} else {
		count, err := strconv.Atoi(last)
		fail(err)
		consume(ctx, bootstrap, topic, count)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(field string) []byte {
	if field == "~" {
		return nil
	}
	bytes, err := hex.DecodeString(strings.Trim(field, `"`))
	fail(err)
	return bytes
}

func show(bytes []byte) string {
	if bytes == nil {
		return "~"
	}
	return `"` + hex.EncodeToString(bytes) + `"`
}

func produce(ctx context.Context, bootstrap kgo.Opt, topic, codec string) {
	codecs := map[string]kgo.CompressionCodec{
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	}
	compression, known := codecs[codec]
	if !known {
		fail(fmt.Errorf("no codec %s", codec))
	}
	client, err := kgo.NewClient(bootstrap, kgo.ProducerBatchCompression(compression), kgo.ProducerLinger(time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	fail(err)
	defer client.Close()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		millis, err := strconv.ParseInt(fields[0], 10, 64)
		fail(err)
		record := kgo.Record{Topic: topic, Timestamp: time.UnixMilli(millis), Key: read(fields[1]), Value: read(fields[2])}
		for _, header := range fields[3:] {
			name, value, _ := strings.Cut(header, "=")
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: string(read(name)), Value: read(value)})
		}
		client.Produce(ctx, &record, func(_ *kgo.Record, err error) { fail(err) })
	}
	fail(lines.Err())
	fail(client.Flush(ctx))
}

func consume(ctx context.Context, bootstrap kgo.Opt, topic string, count int) {
	from := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	client, err := kgo.NewClient(bootstrap, kgo.ConsumePartitions(from))
	fail(err)
	defer client.Close()
	for count > 0 {
		fetches := client.PollRecords(ctx, count)
		fail(fetches.Err())
		for _, record := range fetches.Records() {
			fields := []string{fmt.Sprint(record.Offset), fmt.Sprint(record.Timestamp.UnixMilli()), show(record.Key), show(record.Value)}
			for _, header := range record.Headers {
				fields = append(fields, show([]byte(header.Key))+"="+show(header.Value))
			}
			fmt.Println(strings.Join(fields, " "))
			count--
		}
	}
}
