package main

import (
	"sync"
	"time"

	"github.com/IBM/sarama"

	"penstock/tests/clients/driver"
)

type pipe struct {
	producer sarama.AsyncProducer
	reports  sync.WaitGroup
}

type report = func(int32, int64, error)

// either takes the partition that a record names, or leaves the choice to the library.
type either struct{ sarama.Partitioner }

func (e either) Partition(message *sarama.ProducerMessage, n int32) (int32, error) {
	if message.Partition >= 0 {
		return message.Partition, nil
	}
	return e.Partitioner.Partition(message, n)
}

func (library) Pipe(flow driver.Flow) (driver.Pipe, error) {
	c := producing(flow.Sending())
	c.Producer.Partitioner = func(topic string) sarama.Partitioner { return either{sarama.NewHashPartitioner(topic)} }
	c.Producer.Flush.Frequency = flow.Linger()
	producer, err := sarama.NewAsyncProducer([]string{flow.Bootstrap}, c)
	if err != nil {
		return nil, err
	}
	p := &pipe{producer: producer}
	p.reports.Go(func() {
		for message := range producer.Successes() {
			message.Metadata.(report)(message.Partition, message.Offset, nil)
		}
	})
	p.reports.Go(func() {
		for failure := range producer.Errors() {
			failure.Msg.Metadata.(report)(failure.Msg.Partition, 0, failure.Err)
		}
	})
	return p, nil
}

func (p *pipe) Send(topic string, record driver.Record, done func(int32, int64, error)) {
	message := outgoing(topic, []driver.Record{record})[0]
	message.Metadata = done
	p.producer.Input() <- message
}

func (p *pipe) Close() error {
	p.producer.AsyncClose()
	p.reports.Wait()
	return nil
}

// Throttled: Sarama tells only a histogram.
func (p *pipe) Throttled() time.Duration {
	return -time.Millisecond
}
