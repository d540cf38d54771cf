// A driver of the client matrix for franz-go. The exercises are in ../driver; this translates them.
package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/tests/clients/driver"
)

type library struct {
	bootstrap string
}

func main() {
	driver.Main(func(bootstrap string) driver.Library { return library{bootstrap} })
}

func (library) Version() string {
	return "franz-go " + driver.ModuleVersion("github.com/twmb/franz-go")
}

func (library) Absent(string) string {
	return ""
}

func (l library) client(clientID string, options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(l.bootstrap), kgo.ClientID(clientID))...)
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

var acks = map[int]kgo.Acks{
	driver.AcksNone: kgo.NoAck(), driver.AcksLeader: kgo.LeaderAck(), driver.AcksAll: kgo.AllISRAcks(),
}

func (l library) Produce(ctx context.Context, sending driver.Sending, rounds ...[]driver.Record) error {
	options := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(acks[sending.Acks]),
		kgo.ProducerBatchCompression(codecs[sending.Codec]),
	}
	if !sending.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if sending.MaxBytes != 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(sending.MaxBytes)))
	}
	client, err := l.client(sending.ClientID, options...)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, records := range rounds {
		if err := client.ProduceSync(ctx, outgoing(sending.Topic, records)...).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func (l library) Read(ctx context.Context, clientID, topic string, committedOnly bool,
	take func(driver.Record) bool) error {
	level := kgo.ReadUncommitted()
	if committedOnly {
		level = kgo.ReadCommitted()
	}
	client, err := l.client(clientID, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(level),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if !take(incoming(record)) {
				return nil
			}
		}
	}
}

func outgoing(topic string, records []driver.Record) []*kgo.Record {
	out := make([]*kgo.Record, len(records))
	for i, record := range records {
		out[i] = &kgo.Record{Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value}
		for _, header := range record.Headers {
			out[i].Headers = append(out[i].Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
		}
	}
	return out
}

func incoming(record *kgo.Record) driver.Record {
	in := driver.Record{Partition: record.Partition, Key: record.Key, Value: record.Value}
	for _, header := range record.Headers {
		in.Headers = append(in.Headers, driver.Header{Key: header.Key, Value: header.Value})
	}
	return in
}

// A transactor consumes and produces with one client, as a GroupTransactSession wants it.
type transactor struct {
	session *kgo.GroupTransactSession
	topic   string
}

func (l library) Transactor(_ context.Context, joining driver.Joining, id string) (driver.Transactor, error) {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(l.bootstrap), kgo.ClientID(joining.ClientID),
		kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumerGroup(joining.Group), kgo.ConsumeTopics(joining.Topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	return transactor{session, joining.Topic}, nil
}

func (t transactor) Run(ctx context.Context, consume int, records []driver.Record, commit bool) error {
	for consumed := 0; consumed < consume; {
		fetches := t.session.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		consumed += fetches.NumRecords()
	}
	if err := t.session.Begin(); err != nil {
		return err
	}
	if err := t.session.ProduceSync(ctx, outgoing(t.topic, records)...).FirstErr(); err != nil {
		return err
	}
	committed, err := t.session.End(ctx, kgo.TransactionEndTry(commit))
	if err == nil && committed != commit {
		err = fmt.Errorf("the session ended with committed=%v", committed)
	}
	return err
}

func (t transactor) Close() error {
	t.session.Close()
	return nil
}
