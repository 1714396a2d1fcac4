package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of CPU times in /proc, which Linux fixes at 100 Hz for
// programs.
const tick = 10 * time.Millisecond

// processStat is what /proc/<pid>/stat says that matters here.
type processStat struct {
	parent   int
	own      time.Duration // user and system
	children time.Duration // of children that have ended and were waited for
}

func parseStat(content []byte) (processStat, error) {
	// The name stands in parentheses and may hold anything, so count from its end.
	end := bytes.LastIndexByte(content, ')')
	if end < 0 {
		return processStat{}, fmt.Errorf("process stat without a name")
	}
	fields := bytes.Fields(content[end+1:])
	if len(fields) < 15 {
		return processStat{}, fmt.Errorf("process stat of %d fields", len(fields))
	}
	var numbers [5]int64
	for i, at := range []int{1, 11, 12, 13, 14} { // ppid, utime, stime, cutime, cstime
		n, err := strconv.ParseInt(string(fields[at]), 10, 64)
		if err != nil {
			return processStat{}, fmt.Errorf("process stat: %w", err)
		}
		numbers[i] = n
	}
	return processStat{
		parent: int(numbers[0]), own: time.Duration(numbers[1]+numbers[2]) * tick,
		children: time.Duration(numbers[3]+numbers[4]) * tick,
	}, nil
}

func statOf(pid int) (processStat, error) {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return processStat{}, err
	}
	return parseStat(content)
}

// cpuOf is the CPU time of one process, all its threads.
func cpuOf(pid int) (time.Duration, error) {
	s, err := statOf(pid)
	return s.own, err
}

// cpuOfTree is the CPU time of a process since its start with all that it started: of
// those that run, and of those that have ended and were waited for.
func cpuOfTree(root int) (time.Duration, error) {
	stats, err := tree(root)
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, s := range stats {
		total += s.own + s.children
	}
	return total, nil
}

// tree are the processes below one, and itself.
func tree(root int) (map[int]processStat, error) {
	s, err := statOf(root)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := map[int]processStat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := statOf(pid); err == nil { // otherwise it has ended: its parent's line has it
			all[pid] = s
		}
	}
	found := map[int]processStat{root: s}
	for grown := true; grown; {
		grown = false
		for pid, s := range all {
			_, above := found[s.parent]
			if _, known := found[pid]; above && !known {
				found[pid], grown = s, true
			}
		}
	}
	return found, nil
}

// memory reads a figure of /proc/<pid>/status in MiB: VmHWM is the peak, VmRSS
// what is resident now.
func memory(pid int, figure string) float64 {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for _, l := range bytes.Split(content, []byte{'\n'}) {
		name, rest, found := bytes.Cut(l, []byte{':'})
		if !found || string(name) != figure {
			continue
		}
		if fields := bytes.Fields(rest); len(fields) > 0 {
			kib, err := strconv.ParseFloat(string(fields[0]), 64)
			if err == nil {
				return kib / 1024
			}
		}
	}
	return 0
}

// forgetPeak makes the peak of a process start again from what it has now.
func forgetPeak(pid int) error {
	return os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "clear_refs"), []byte("5"), 0o600)
}
