// A driver of the client matrix for Sarama. The exercises are in ../driver; this translates them.
package main

import (
	"context"
	"errors"

	"github.com/IBM/sarama"

	"penstock/tests/clients/driver"
)

type library struct {
	bootstrap []string
}

func main() {
	driver.Main(func(bootstrap string) driver.Library { return library{[]string{bootstrap}} })
}

func (library) Version() string {
	return "sarama " + driver.ModuleVersion("github.com/IBM/sarama")
}

func (library) Absent(exercise string) string {
	switch exercise {
	case "group_consumer":
		return "its consumer groups have the classic protocol only"
	case "group_share":
		return "no share consumer"
	}
	return ""
}

// config asks for the newest versions that Sarama knows of each API; the rest is its defaults.
func config(clientID string) *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = clientID
	c.Version = sarama.MaxVersion
	return c
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func producing(sending driver.Sending) *sarama.Config {
	c := config(sending.ClientID)
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.RequiredAcks = sarama.RequiredAcks(sending.Acks)
	c.Producer.Compression = codecs[sending.Codec]
	c.Producer.Return.Successes = true
	if sending.Idempotent {
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1 // it insists
	}
	if sending.MaxBytes != 0 {
		c.Producer.MaxMessageBytes = sending.MaxBytes
	}
	return c
}

func (l library) Produce(_ context.Context, sending driver.Sending, rounds ...[]driver.Record) error {
	producer, err := sarama.NewSyncProducer(l.bootstrap, producing(sending))
	if err != nil {
		return err
	}
	for _, records := range rounds {
		if err := producer.SendMessages(outgoing(sending.Topic, records)); err != nil {
			return errors.Join(first(err), producer.Close())
		}
	}
	return producer.Close()
}

// first: an error for each of 300 records says no more than one.
func first(err error) error {
	var several sarama.ProducerErrors
	if errors.As(err, &several) && len(several) > 0 {
		return several[0].Err
	}
	return err
}

func (l library) Read(ctx context.Context, clientID, topic string, committedOnly bool,
	take func(driver.Record) bool) error {
	c := config(clientID)
	c.Consumer.Return.Errors = true
	if committedOnly {
		c.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer(l.bootstrap, c)
	if err != nil {
		return err
	}
	defer consumer.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	messages, failures := make(chan *sarama.ConsumerMessage), make(chan error)
	for p := range int32(driver.Partitions) {
		partition, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		defer partition.Close()
		go relay(ctx, partition, messages, failures)
	}
	for {
		select {
		case message := <-messages:
			if !take(incoming(message)) {
				return nil
			}
		case err := <-failures:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// relay brings the partitions together.
func relay(ctx context.Context, from sarama.PartitionConsumer, messages chan<- *sarama.ConsumerMessage,
	failures chan<- error) {
	for {
		select {
		case message, open := <-from.Messages():
			if !open {
				return
			}
			select {
			case messages <- message:
			case <-ctx.Done():
				return
			}
		case failure := <-from.Errors():
			select {
			case failures <- failure:
			case <-ctx.Done():
			}
			return
		case <-ctx.Done():
			return
		}
	}
}

func outgoing(topic string, records []driver.Record) []*sarama.ProducerMessage {
	out := make([]*sarama.ProducerMessage, len(records))
	for i, record := range records {
		out[i] = &sarama.ProducerMessage{
			Topic: topic, Partition: record.Partition, Value: sarama.ByteEncoder(record.Value),
		}
		if record.Key != nil {
			out[i].Key = sarama.ByteEncoder(record.Key)
		}
		for _, header := range record.Headers {
			out[i].Headers = append(out[i].Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
		}
	}
	return out
}

func incoming(message *sarama.ConsumerMessage) driver.Record {
	in := driver.Record{Partition: message.Partition, Key: message.Key, Value: message.Value}
	for _, header := range message.Headers {
		in.Headers = append(in.Headers, driver.Header{Key: string(header.Key), Value: header.Value})
	}
	return in
}
