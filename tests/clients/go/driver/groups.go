package driver

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// attendant is a member with what it has read.
type attendant struct {
	Member
	mutex sync.Mutex
	reads map[int32]int // records by partition
}

func (a *attendant) note(partition int32) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.reads[partition]++
}

func (a *attendant) partitions() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return len(a.reads)
}

func (r *run) join(role, protocol string, tally *Tally) (*attendant, error) {
	r.stage("the %s joining", role)
	a := &attendant{reads: map[int32]int{}}
	member, err := r.lib.Join(r.ctx, Joining{r.client(role), r.topic(), r.topic(), protocol}, func(record Record) {
		tally.Take(record)
		a.note(record.Partition)
	})
	a.Member = member
	return a, err
}

// broken gives the errors of those that cannot go on.
func broken(members ...Member) error {
	var err error
	for _, member := range members {
		err = errors.Join(err, member.Err())
	}
	return err
}

const round = 120 // records, 40 for each partition

// all sends another round and waits until the group has read everything so far.
func (r *run) all(tally *Tally, which string, members ...Member) error {
	records := Make(r.name+"-"+which, round, Noise)
	tally.Expect(records)
	if err := r.send(plain(AcksAll), records); err != nil {
		return err
	}
	return r.until("reading the "+which+" records", func() (bool, error) {
		return tally.Missing() == 0, broken(members...)
	})
}

// halves: both hold something, and together each partition once.
func halves(a, b []int32) bool {
	both := slices.Concat(a, b)
	slices.Sort(both)
	return len(a) > 0 && len(b) > 0 && slices.Equal(both, []int32{0, 1, 2})
}

// rebalance moves every partition from the first member of a group to the second, in two steps: the second joins,
// then the first leaves. Records are sent in each state; all must be read, and all offsets be committed at the end.
func rebalance(protocol string) exercise {
	return func(r *run) (string, error) {
		var tally Tally
		first, err := r.join("first", protocol, &tally)
		if err != nil {
			return "", err
		}
		if err := r.all(&tally, "early", first); err != nil {
			return "", errors.Join(err, first.Leave(r.ctx))
		}
		second, err := r.join("second", protocol, &tally)
		if err != nil {
			return "", errors.Join(err, first.Leave(r.ctx))
		}
		if err := r.handOver(&tally, first, second); err != nil {
			return "", err
		}
		if err := tally.Judge(false); err != nil {
			return "", err
		}
		if err := r.committed(3 * round / Partitions); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d records, %d partitions moved", 3*round, second.partitions()), nil
	}
}

func (r *run) handOver(tally *Tally, first, second *attendant) error {
	err := r.until("sharing the partitions", func() (bool, error) {
		return halves(first.Assigned(), second.Assigned()), broken(first, second)
	})
	if err == nil {
		err = r.all(tally, "shared", first, second)
	}
	r.stage("the first leaving")
	if err = errors.Join(err, first.Leave(r.ctx)); err != nil {
		return errors.Join(err, second.Leave(r.ctx))
	}
	err = r.until("the second taking over", func() (bool, error) {
		return len(second.Assigned()) == Partitions, broken(second)
	})
	if err == nil {
		err = r.all(tally, "late", second)
	}
	if err == nil && second.partitions() != Partitions {
		err = fmt.Errorf("the second read only %d partitions", second.partitions())
	}
	r.stage("the second leaving")
	return errors.Join(err, second.Leave(r.ctx))
}

// share has two members of a share group accept all records. A member that has accepted its first records waits for
// the other to get some, so that both take part.
func share(r *run) (string, error) {
	lib, ok := r.lib.(Sharing)
	if !ok {
		return "", errors.New("the library was expected to have share groups")
	}
	records := Make(r.name, sent, Noise)
	var tally Tally
	tally.Expect(records)
	if err := r.send(plain(AcksAll), records); err != nil {
		return "", err
	}
	var counts [2]atomic.Int32
	var began [2]chan struct{}
	var members [2]Member
	for i := range began {
		began[i] = make(chan struct{})
	}
	for i, role := range []string{"first", "second"} {
		r.stage("the %s joining", role)
		member, err := lib.JoinShare(r.ctx, Joining{r.client(role), r.topic(), r.topic(), ""}, func(record Record) {
			tally.Take(record)
			if counts[i].Add(1) == 1 {
				close(began[i])
			}
			select {
			case <-began[1-i]:
			case <-r.ctx.Done():
			}
		})
		if err != nil {
			return "", err
		}
		members[i] = member
	}
	err := r.until("sharing the records", func() (bool, error) { return tally.Missing() == 0, broken(members[:]...) })
	r.stage("leaving")
	if err = errors.Join(err, members[0].Leave(r.ctx), members[1].Leave(r.ctx)); err != nil {
		return "", err
	}
	if err := tally.Judge(true); err != nil {
		return "", err
	}
	err = r.until("the group's lag", func() (bool, error) {
		lag, err := lib.ShareLag(r.ctx, r.client("admin"), r.topic(), r.topic())
		return len(lag) == Partitions && lag[0] == 0 && lag[1] == 0 && lag[2] == 0, err
	})
	return fmt.Sprintf("%d records, %d by the first and %d by the second", sent, counts[0].Load(), counts[1].Load()), err
}
