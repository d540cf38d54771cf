package driver

import (
	"errors"
	"fmt"
)

const (
	input  = 30 // records that the transaction consumes
	output = 300
)

// transact consumes, produces and ends in one transaction, and then commits another that tells readers that they have
// passed. What an aborted transaction wrote is there for those who read everything, and only for them.
func transact(commit bool) exercise {
	return func(r *run) (string, error) {
		inputs, outputs := Make(r.name+"-in", input, Noise), Make(r.name+"-out", output, Noise)
		if err := r.send(plain(AcksAll), inputs); err != nil {
			return "", err
		}
		r.stage("opening a transactional producer")
		joining := Joining{r.client("transactor"), r.topic(), r.topic(), Classic}
		transactor, err := r.lib.Transactor(r.ctx, joining, r.topic())
		if err != nil {
			return "", err
		}
		r.stage("the transaction")
		err = transactor.Run(r.ctx, input, outputs, commit)
		if err == nil {
			r.stage("the transaction that marks the end")
			err = transactor.Run(r.ctx, 0, Ends(), true)
		}
		if err = errors.Join(err, transactor.Close()); err != nil {
			return "", err
		}
		if !commit {
			if err := r.compare(false, inputs, outputs); err != nil {
				return "", fmt.Errorf("uncommitted: %w", err)
			}
			outputs = nil
		}
		if err := r.compare(true, inputs, outputs); err != nil {
			return "", fmt.Errorf("read_committed: %w", err)
		}
		if err := r.checkCommitted(commit); err != nil {
			return "", err
		}
		if !commit {
			return fmt.Sprintf("%d records aborted, with the offsets of %d", output, input), nil
		}
		return fmt.Sprintf("%d records committed, with the offsets of %d", output, input), nil
	}
}

// checkCommitted: the offsets of what was consumed are the group's only if the transaction was committed.
func (r *run) checkCommitted(commit bool) error {
	var expected int64
	if commit {
		expected = input / Partitions
	}
	return r.committed(expected)
}

// committed checks the offset of the exercise's group in each partition.
func (r *run) committed(expected int64) error {
	r.stage("the committed offsets")
	admin, err := r.lib.Admin(r.ctx, r.client("admin"))
	if err != nil {
		return err
	}
	defer admin.Close()
	offsets, err := admin.Committed(r.ctx, r.topic(), r.topic())
	if err != nil {
		return err
	}
	return everywhere(offsets, expected)
}
