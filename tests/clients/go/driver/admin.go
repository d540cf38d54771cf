package driver

import (
	"errors"
	"fmt"
	"slices"
)

const (
	changedKey   = "retention.ms"
	changedValue = "123456789"
)

// administer makes a topic and looks at it from every side, with a group that reads it; then it removes the topic.
func administer(r *run) (string, error) {
	admin, err := r.lib.Admin(r.ctx, r.client("admin"))
	if err != nil {
		return "", err
	}
	defer admin.Close()
	made := r.topic() + "-made"
	for _, step := range []func(Admin, string) error{r.makeTopic, r.changeConfig, r.watchGroup, r.removeTopic} {
		if err := step(admin, made); err != nil {
			return "", err
		}
	}
	return "topic made, described, configured and deleted; offsets and group listed and described", nil
}

func (r *run) makeTopic(admin Admin, made string) error {
	r.stage("creating a topic")
	if err := admin.CreateTopic(r.ctx, made, Partitions); err != nil {
		return err
	}
	return r.until("describing the topic", func() (bool, error) {
		partitions, err := admin.Topic(r.ctx, made)
		return partitions == Partitions, err
	})
}

func (r *run) changeConfig(admin Admin, made string) error {
	r.stage("describing a configuration")
	before, err := admin.Config(r.ctx, made, changedKey)
	if err != nil {
		return err
	}
	if before == "" || before == changedValue {
		return fmt.Errorf("%s was %q", changedKey, before)
	}
	r.stage("altering a configuration")
	if err := admin.SetConfig(r.ctx, made, changedKey, changedValue); err != nil {
		return err
	}
	return r.until("seeing the altered configuration", func() (bool, error) {
		now, err := admin.Config(r.ctx, made, changedKey)
		return now == changedValue, err
	})
}

// everywhere: each partition has this offset; 0 stands for none as well.
func everywhere(offsets map[int32]int64, expected int64) error {
	for p := range int32(Partitions) {
		if offsets[p] != expected {
			return fmt.Errorf("%v where each should be %d", offsets, expected)
		}
	}
	return nil
}

// watchGroup has a member read the new topic, and looks at its group while it is there and when it has left.
func (r *run) watchGroup(admin Admin, made string) error {
	records := Make(r.name, input, Noise)
	var tally Tally
	tally.Expect(records)
	r.stage("producing")
	sending := plain(AcksAll)
	sending.ClientID, sending.Topic = r.client("producer"), made
	if err := r.lib.Produce(r.ctx, sending, records); err != nil {
		return err
	}
	r.stage("listing offsets")
	ends, err := admin.EndOffsets(r.ctx, made)
	if err = errors.Join(err, everywhere(ends, input/Partitions)); err != nil {
		return err
	}
	r.stage("joining")
	member, err := r.lib.Join(r.ctx, Joining{r.client("member"), r.topic(), made, Classic}, tally.Take)
	if err != nil {
		return err
	}
	err = r.until("reading", func() (bool, error) { return tally.Missing() == 0, broken(member) })
	if err == nil {
		r.stage("describing the group")
		err = r.lookAtGroup(admin)
	}
	if err = errors.Join(err, member.Leave(r.ctx), tally.Judge(false)); err != nil {
		return err
	}
	r.stage("listing committed offsets")
	committed, err := admin.Committed(r.ctx, r.topic(), made)
	return errors.Join(err, everywhere(committed, input/Partitions))
}

func (r *run) lookAtGroup(admin Admin) error {
	state, members, err := admin.Group(r.ctx, r.topic())
	if err != nil {
		return err
	}
	if state != "Stable" || !slices.Equal(members, []string{r.client("member")}) {
		return fmt.Errorf("the group is %s with %v", state, members)
	}
	r.stage("listing groups")
	groups, err := admin.Groups(r.ctx)
	if err == nil && !slices.Contains(groups, r.topic()) {
		err = fmt.Errorf("%v lacks %s", groups, r.topic())
	}
	return err
}

func (r *run) removeTopic(admin Admin, made string) error {
	r.stage("deleting the topic")
	if err := admin.DeleteTopic(r.ctx, made); err != nil {
		return err
	}
	return r.until("the topic being gone", func() (bool, error) {
		partitions, err := admin.Topic(r.ctx, made)
		return partitions == 0, err
	})
}
