package main

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"penstock/tests/clients/driver"
)

type admin struct {
	kadm *kadm.Client
}

func (l library) Admin(_ context.Context, clientID string) (driver.Admin, error) {
	client, err := l.client(clientID)
	if err != nil {
		return nil, err
	}
	return admin{kadm.NewClient(client)}, nil
}

func (a admin) CreateTopic(ctx context.Context, topic string, partitions int) error {
	_, err := a.kadm.CreateTopic(ctx, int32(partitions), 1, nil, topic)
	return err
}

func (a admin) Topic(ctx context.Context, topic string) (int, error) {
	details, err := a.kadm.ListTopics(ctx, topic)
	if err == nil {
		err = details[topic].Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = nil
	}
	return len(details[topic].Partitions), err
}

func (a admin) DeleteTopic(ctx context.Context, topic string) error {
	_, err := a.kadm.DeleteTopic(ctx, topic)
	return err
}

func (a admin) Config(ctx context.Context, topic, key string) (string, error) {
	described, err := a.kadm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", err
	}
	resource, err := described.On(topic, nil)
	if err = errors.Join(err, resource.Err); err != nil {
		return "", err
	}
	for _, config := range resource.Configs {
		if config.Key == key {
			return config.MaybeValue(), nil
		}
	}
	return "", nil
}

func (a admin) SetConfig(ctx context.Context, topic, key, value string) error {
	changes := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}
	altered, err := a.kadm.AlterTopicConfigs(ctx, changes, topic)
	if err != nil {
		return err
	}
	answer, err := altered.On(topic, nil)
	return errors.Join(err, answer.Err)
}

func (a admin) EndOffsets(ctx context.Context, topic string) (map[int32]int64, error) {
	listed, err := a.kadm.ListEndOffsets(ctx, topic)
	ends := map[int32]int64{}
	for p, offset := range listed[topic] {
		ends[p] = offset.Offset
	}
	return ends, errors.Join(err, listed.Error())
}

func (a admin) Groups(ctx context.Context) ([]string, error) {
	listed, err := a.kadm.ListGroups(ctx)
	return listed.Groups(), err
}

func (a admin) Group(ctx context.Context, group string) (string, []string, error) {
	described, err := a.kadm.DescribeGroups(ctx, group)
	if err = errors.Join(err, described[group].Err); err != nil {
		return "", nil, err
	}
	var members []string
	for _, member := range described[group].Members {
		members = append(members, member.ClientID)
	}
	return described[group].State, members, nil
}

func (a admin) Committed(ctx context.Context, group, topic string) (map[int32]int64, error) {
	fetched, err := a.kadm.FetchOffsets(ctx, group)
	offsets := map[int32]int64{}
	for p, offset := range fetched[topic] {
		offsets[p] = offset.At
		err = errors.Join(err, offset.Err)
	}
	return offsets, err
}

func (a admin) Close() error {
	a.kadm.Close()
	return nil
}
