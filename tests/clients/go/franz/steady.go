package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/tests/clients/driver"
)

// pipe is a steady producer; as a hook it hears of throttling.
type pipe struct {
	client    *kgo.Client
	throttled atomic.Int64
}

func (p *pipe) OnBrokerThrottle(_ kgo.BrokerMetadata, interval time.Duration, _ bool) {
	p.throttled.Add(int64(interval))
}

// either takes the partition that a record names, or leaves the choice to the library.
type either struct{ kgo.Partitioner }

type eitherTopic struct{ kgo.TopicPartitioner }

func (e either) ForTopic(topic string) kgo.TopicPartitioner {
	return eitherTopic{e.Partitioner.ForTopic(topic)}
}

func (e eitherTopic) Partition(record *kgo.Record, n int) int {
	if record.Partition >= 0 {
		return int(record.Partition)
	}
	return e.TopicPartitioner.Partition(record, n)
}

func (library) Pipe(flow driver.Flow) (driver.Pipe, error) {
	sending := flow.Sending()
	p := &pipe{}
	options := []kgo.Opt{
		kgo.RequiredAcks(acks[sending.Acks]), kgo.ProducerBatchCompression(codecs[sending.Codec]), kgo.WithHooks(p),
		kgo.RecordPartitioner(either{kgo.StickyKeyPartitioner(nil)}),
	}
	if flow.Linger() > 0 {
		options = append(options, kgo.ProducerLinger(flow.Linger()))
	}
	if !sending.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	var err error
	p.client, err = library{flow.Bootstrap}.client(flow.ClientID, options...)
	return p, err
}

func (p *pipe) Send(topic string, record driver.Record, done func(int32, int64, error)) {
	out := &kgo.Record{Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value}
	p.client.Produce(context.Background(), out, func(record *kgo.Record, err error) {
		done(record.Partition, record.Offset, err)
	})
}

func (p *pipe) Close() error {
	err := p.client.Flush(context.Background())
	p.client.Close()
	return err
}

func (p *pipe) Throttled() time.Duration {
	return time.Duration(p.throttled.Load())
}
