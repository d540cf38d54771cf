package main

import (
	"context"
	"errors"

	"github.com/IBM/sarama"

	"penstock/tests/clients/driver"
)

type admin struct {
	sarama.ClusterAdmin
}

func (l library) Admin(_ context.Context, clientID string) (driver.Admin, error) {
	a, err := sarama.NewClusterAdmin(l.bootstrap, config(clientID))
	return admin{a}, err
}

func (a admin) CreateTopic(_ context.Context, topic string, partitions int) error {
	detail := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1}
	return a.ClusterAdmin.CreateTopic(topic, detail, false)
}

func (a admin) Topic(_ context.Context, topic string) (int, error) {
	topics, err := a.DescribeTopics([]string{topic})
	if err != nil || len(topics) != 1 || topics[0].Err == sarama.ErrUnknownTopicOrPartition {
		return 0, err
	}
	if topics[0].Err != sarama.ErrNoError {
		return 0, topics[0].Err
	}
	return len(topics[0].Partitions), nil
}

func (a admin) DeleteTopic(_ context.Context, topic string) error {
	return a.ClusterAdmin.DeleteTopic(topic)
}

func (a admin) Config(_ context.Context, topic, key string) (string, error) {
	resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{key}}
	entries, err := a.DescribeConfig(resource)
	for _, entry := range entries {
		if entry.Name == key {
			return entry.Value, err
		}
	}
	return "", err
}

func (a admin) SetConfig(_ context.Context, topic, key, value string) error {
	entries := map[string]sarama.IncrementalAlterConfigsEntry{
		key: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
	}
	return a.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false)
}

func (a admin) EndOffsets(_ context.Context, topic string) (map[int32]int64, error) {
	wanted := map[int32]int64{}
	for p := range int32(driver.Partitions) {
		wanted[p] = sarama.OffsetNewest
	}
	listed, err := a.ListOffsets(map[string]map[int32]int64{topic: wanted}, nil)
	ends := map[int32]int64{}
	for p, result := range listed[topic] {
		ends[p] = result.Offset
		if result.Err != sarama.ErrNoError {
			err = errors.Join(err, result.Err)
		}
	}
	return ends, err
}

func (a admin) Groups(context.Context) ([]string, error) {
	listed, err := a.ListConsumerGroups()
	var groups []string
	for group := range listed {
		groups = append(groups, group)
	}
	return groups, err
}

func (a admin) Group(_ context.Context, group string) (string, []string, error) {
	described, err := a.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", nil, err
	}
	if len(described) != 1 || described[0].Err != sarama.ErrNoError {
		return "", nil, errors.New("the group was not described")
	}
	var members []string
	for _, member := range described[0].Members {
		members = append(members, member.ClientId)
	}
	return described[0].State, members, nil
}

func (a admin) Committed(_ context.Context, group, topic string) (map[int32]int64, error) {
	var all []int32
	for p := range int32(driver.Partitions) {
		all = append(all, p)
	}
	fetched, err := a.ListConsumerGroupOffsetsBatch(map[string]map[string][]int32{group: {topic: all}})
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for p, block := range fetched[group].Blocks[topic] {
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		if block.Offset >= 0 {
			offsets[p] = block.Offset
		}
	}
	return offsets, nil
}
