package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// running is a program of somebody else that we started. It is a process group of its
// own and ends with us; no other process is ever signalled.
type running struct {
	cmd     *exec.Cmd
	said    *tail
	done    chan struct{}
	failure error // once done
	highest float64
}

// grace is how long a program may take to end in good order.
const grace = 10 * time.Second

// start starts the peer's program in its directory.
func (p *peerRun) start(args []string) (*running, error) {
	cmd := exec.Command(p.path, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), p.environment...)
	r := &running{cmd: cmd, said: &tail{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = r.said, r.said
	cmd.WaitDelay = time.Second // for pipes that its children keep
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// Pdeathsig follows the thread that forked, so that thread must live on.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			r.failure = cmd.Wait()
			close(r.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return r, nil
}

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// wait returns when it has ended, when the time is over, or with ctx.
func (r *running) wait(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	r.peak()
	select {
	case <-r.done:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// cpu is the CPU time of it and all that it started.
func (r *running) cpu() (time.Duration, error) {
	if !r.ended() {
		cpu, err := cpuOfTree(r.cmd.Process.Pid)
		if err == nil || !r.endedWithin(time.Second) {
			return cpu, err
		}
	}
	return r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime(), nil
}

func (r *running) endedWithin(length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-r.done:
		return true
	case <-timer.C:
		return false
	}
}

// peak is the most memory that one of its processes was seen to have, in MiB.
func (r *running) peak() float64 {
	if stats, err := tree(r.cmd.Process.Pid); err == nil {
		for pid := range stats {
			r.highest = max(r.highest, memory(pid, "VmHWM"))
		}
	}
	return r.highest
}

// stop asks it to end, and after a while ends it and what it started.
func (r *running) stop() {
	if r.ended() {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	if r.endedWithin(grace) {
		return
	}
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) // it has not ended, so the group is still its own
	<-r.done
}

// tail keeps the end of what a program says.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailBytes = 600

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
