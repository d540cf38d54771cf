package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"penstock/tests/clients/driver"
)

// Members look for a rebalance often, so that an exercise is short; Sarama's default is 3 s.
const heartbeat = 500 * time.Millisecond

// member is the handler of its own sessions; it joins again after each rebalance until it is told to leave.
type member struct {
	group  sarama.ConsumerGroup
	topic  string
	marks  bool // commits what it reads; otherwise somebody else does
	got    func(*sarama.ConsumerMessage)
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mutex   sync.Mutex
	session sarama.ConsumerGroupSession // nil between two sessions
	failure error
}

func (l library) join(joining driver.Joining, marks bool, got func(*sarama.ConsumerMessage)) (*member, error) {
	c := config(joining.ClientID)
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	c.Consumer.Group.Heartbeat.Interval = heartbeat
	group, err := sarama.NewConsumerGroup(l.bootstrap, joining.Group, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{group: group, topic: joining.Topic, marks: marks, got: got, cancel: cancel}
	m.ended.Go(func() {
		for ctx.Err() == nil && m.Err() == nil {
			m.fail(group.Consume(ctx, []string{joining.Topic}, m))
		}
	})
	return m, nil
}

func (l library) Join(_ context.Context, joining driver.Joining, got func(driver.Record)) (driver.Member, error) {
	return l.join(joining, true, func(message *sarama.ConsumerMessage) { got(incoming(message)) })
}

func (m *member) enter(session sarama.ConsumerGroupSession) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.session = session
}

func (m *member) fail(err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.failure = err
}

func (m *member) Err() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.failure
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.enter(session)
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.enter(nil)
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.got(message)
			if m.marks {
				session.MarkMessage(message, "")
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) Assigned() []int32 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.session == nil {
		return nil
	}
	return m.session.Claims()[m.topic]
}

// Leave: the end of a session commits what was marked.
func (m *member) Leave(context.Context) error {
	m.cancel()
	m.ended.Wait()
	return errors.Join(m.group.Close(), m.Err())
}

// A transactor gives the offsets of its member's session to the producer's transaction.
type transactor struct {
	member   *member
	consumed chan *sarama.ConsumerMessage
	producer sarama.SyncProducer
	joining  driver.Joining
}

func (l library) Transactor(_ context.Context, joining driver.Joining, id string) (driver.Transactor, error) {
	c := producing(driver.Sending{ClientID: joining.ClientID, Acks: driver.AcksAll, Idempotent: true, Codec: "none"})
	c.Producer.Transaction.ID = id
	producer, err := sarama.NewSyncProducer(l.bootstrap, c)
	if err != nil {
		return nil, err
	}
	t := &transactor{consumed: make(chan *sarama.ConsumerMessage, 1000), producer: producer, joining: joining}
	t.member, err = l.join(joining, false, func(message *sarama.ConsumerMessage) { t.consumed <- message })
	if err != nil {
		return nil, errors.Join(err, producer.Close())
	}
	return t, nil
}

// collect gives the offsets behind as many consumed messages.
func (t *transactor) collect(ctx context.Context, consume int) ([]*sarama.PartitionOffsetMetadata, error) {
	next := map[int32]int64{}
	for range consume {
		select {
		case message := <-t.consumed:
			next[message.Partition] = message.Offset + 1
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var offsets []*sarama.PartitionOffsetMetadata
	for p, offset := range next {
		offsets = append(offsets, &sarama.PartitionOffsetMetadata{Partition: p, Offset: offset, LeaderEpoch: -1})
	}
	return offsets, nil
}

func (t *transactor) Run(ctx context.Context, consume int, records []driver.Record, commit bool) error {
	offsets, err := t.collect(ctx, consume)
	if err != nil {
		return err
	}
	if err := t.producer.BeginTxn(); err != nil {
		return err
	}
	if err := t.producer.SendMessages(outgoing(t.joining.Topic, records)); err != nil {
		return first(err)
	}
	if len(offsets) > 0 {
		t.member.mutex.Lock()
		metadata := sarama.NewConsumerGroupMetadataFromSession(t.member.session, t.joining.Group, nil)
		t.member.mutex.Unlock()
		added := map[string][]*sarama.PartitionOffsetMetadata{t.joining.Topic: offsets}
		if err := t.producer.AddOffsetsToTxnWithGroupMetadata(added, metadata); err != nil {
			return err
		}
	}
	if commit {
		return t.producer.CommitTxn()
	}
	return t.producer.AbortTxn()
}

func (t *transactor) Close() error {
	return errors.Join(t.member.Leave(context.Background()), t.producer.Close())
}
