package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/tests/clients/driver"
)

// Members look for a rebalance often, so that an exercise is short; a classic group's default is 3 s.
const heartbeat = 500 * time.Millisecond

// member polls in a goroutine of its own until it is told to leave.
type member struct {
	client *kgo.Client
	finish func(context.Context) error // commits or acknowledges, after the last poll
	cancel context.CancelFunc
	polled sync.WaitGroup

	mutex    sync.Mutex
	assigned map[int32]bool
	failure  error
}

func (m *member) hold(parts map[string][]int32, held bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, partitions := range parts {
		for _, p := range partitions {
			if held {
				m.assigned[p] = true
			} else {
				delete(m.assigned, p)
			}
		}
	}
}

func (m *member) fail(err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.failure == nil {
		m.failure = err
	}
}

func (m *member) start(handle func(*kgo.Record)) {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.polled.Add(1)
	go func() {
		defer m.polled.Done()
		for ctx.Err() == nil {
			fetches := m.client.PollFetches(ctx)
			if err := fetches.Err(); err != nil && ctx.Err() == nil {
				m.fail(err)
				return
			}
			fetches.EachRecord(handle)
		}
	}()
}

func (m *member) Assigned() []int32 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var parts []int32
	for p := range m.assigned {
		parts = append(parts, p)
	}
	return parts
}

func (m *member) Err() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.failure
}

func (m *member) Leave(ctx context.Context) error {
	m.cancel()
	m.polled.Wait()
	err := m.finish(ctx)
	m.client.Close()
	return errors.Join(m.Err(), err)
}

func (l library) Join(_ context.Context, joining driver.Joining, got func(driver.Record)) (driver.Member, error) {
	m := &member{assigned: map[int32]bool{}}
	lose := func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { m.hold(parts, false) }
	options := []kgo.Opt{
		kgo.ConsumerGroup(joining.Group), kgo.ConsumeTopics(joining.Topic), kgo.HeartbeatInterval(heartbeat),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			m.hold(parts, true)
		}),
		kgo.OnPartitionsRevoked(lose), kgo.OnPartitionsLost(lose),
	}
	if joining.Protocol == driver.Consumer {
		options = append(options, kgo.ServerSideBalancer())
	}
	var err error
	if m.client, err = l.client(joining.ClientID, options...); err != nil {
		return nil, err
	}
	m.finish = m.client.CommitUncommittedOffsets
	m.start(func(record *kgo.Record) { got(incoming(record)) })
	return m, nil
}

// In small portions, both members of a share group get some.
const portion = 10

func (l library) JoinShare(_ context.Context, joining driver.Joining, got func(driver.Record)) (driver.Member, error) {
	m := &member{}
	var err error
	m.client, err = l.client(joining.ClientID, kgo.ShareGroup(joining.Group), kgo.ConsumeTopics(joining.Topic),
		kgo.ShareMaxRecords(portion), kgo.ShareMaxRecordsStrict(),
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			if err := results.Error(); err != nil {
				m.fail(err)
			}
		}))
	if err != nil {
		return nil, err
	}
	m.finish = m.client.FlushAcks
	m.start(func(record *kgo.Record) {
		got(incoming(record))
		record.Ack(kgo.AckAccept)
	})
	return m, nil
}

func (l library) ShareLag(ctx context.Context, clientID, group, topic string) (map[int32]int64, error) {
	client, err := l.client(clientID)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	described, err := kadm.NewClient(client).DescribeShareGroupOffsets(ctx, group)
	if err = errors.Join(err, described[group].Err); err != nil {
		return nil, err
	}
	lag := map[int32]int64{}
	for p, offset := range described[group].Offsets[topic] {
		lag[p] = offset.Lag
		err = errors.Join(err, offset.Err)
	}
	return lag, err
}
