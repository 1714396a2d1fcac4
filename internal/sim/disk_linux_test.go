package sim

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own, so that it can fill up and lose power.
type disk struct {
	t     *testing.T
	at    string
	image string // of ext4 on a loop device; empty: memory
}

// newDisk mounts a file system at a directory of the country, or skips the test
// where that is not allowed.
func (c *country) newDisk(at, size string, ext4 bool) *disk {
	c.t.Helper()
	d := &disk{t: c.t, at: at}
	if err := os.MkdirAll(at, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		c.t.Skip("mounting a file system needs root")
	}
	if ext4 {
		d.image = at + ".img"
		if out, err := exec.CommandContext(c.t.Context(), "truncate", "-s", size, d.image).CombinedOutput(); err != nil {
			c.t.Skipf("no image: %v: %s", err, out)
		}
		if out, err := exec.CommandContext(c.t.Context(), "mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
			c.t.Skipf("no ext4: %v: %s", err, out)
		}
		if out, err := d.mount(); err != nil {
			c.t.Skipf("no loop device: %v: %s", err, out)
		}
	} else if err := unix.Mount("none", at, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		c.t.Skipf("no tmpfs: %v", err)
	}
	c.t.Cleanup(func() {
		c.killAll()
		d.unmount()
	})
	return d
}

func (d *disk) mount() ([]byte, error) {
	// What is written stays in memory as long as nobody syncs: the more is lost.
	return exec.Command("mount", "-o", "loop,commit=60", d.image, d.at).CombinedOutput()
}

func (d *disk) unmount() {
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Unmount(d.at, 0)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.t.Errorf("unmount %s: %v", d.at, err)
			_ = unix.Unmount(d.at, unix.MNT_DETACH)
			return
		}
		<-tick.C
	}
}

const (
	shutdownRequest    = 0x8004587d // EXT4_IOC_SHUTDOWN
	shutdownWithoutLog = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal gets out
)

// cut takes the power away: from now on nothing reaches the disk, and what was not
// synced is gone.
func (d *disk) cut() {
	d.t.Helper()
	directory, err := os.Open(d.at)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = directory.Close() }()
	if err := unix.IoctlSetPointerInt(int(directory.Fd()), shutdownRequest, shutdownWithoutLog); err != nil {
		d.t.Skipf("this kernel cannot cut the power of a file system: %v", err)
	}
}

// again gives the power back.
func (d *disk) again() {
	d.t.Helper()
	d.unmount()
	if out, err := d.mount(); err != nil {
		d.t.Fatalf("mount again: %v: %s", err, out)
	}
}

// fill writes until the free space is at most so many bytes; empty undoes it.
func (d *disk) fill(leave uint64) {
	d.t.Helper()
	file, err := os.Create(filepath.Join(d.at, "ballast"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	block := make([]byte, 64<<10)
	for {
		var s unix.Statfs_t
		if err := unix.Statfs(d.at, &s); err != nil {
			d.t.Fatal(err)
		}
		if s.Bavail*uint64(s.Bsize) <= leave {
			return
		}
		if _, err := file.Write(block); err != nil {
			if errors.Is(err, unix.ENOSPC) {
				return
			}
			d.t.Fatal(err)
		}
	}
}

func (d *disk) empty() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.at, "ballast")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.t.Fatal(err)
	}
}

// TestFault_PowerCut takes the power from the hub's disk, and from the node's: what
// was not synced is gone, as after a real cut.
func TestFault_PowerCut(t *testing.T) {
	for _, fault := range []struct {
		name string
		hub  bool
	}{{"hub", true}, {"node", false}} {
		for _, e := range engines() {
			t.Run(fault.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				c := newCountry(t, e)
				at := c.nodeData
				if fault.hub {
					at = c.hubData
				}
				d := c.newDisk(at, "300M", true)
				c.live()
				c.startHub(nil)
				c.startNode(nil)
				for _, batches := range []int64{6, 10} {
					c.awaitLanded(batches)
					d.cut()
					if fault.hub {
						c.hub.kill()
					} else {
						c.node.kill()
					}
					d.again()
					if fault.hub {
						c.startHub(nil)
					} else {
						c.startNode(nil)
					}
				}
				c.awaitLanded(5)
				c.settle()
			})
		}
	}
}

// TestFault_DiskFull fills the node's disk: to the reserve that the spool leaves, and
// to the last byte.
func TestFault_DiskFull(t *testing.T) {
	for _, fault := range []struct {
		name  string
		leave uint64
	}{{"to the reserve", 7 << 20}, {"to the last byte", 0}} {
		for _, e := range engines() {
			t.Run(fault.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				c := newCountry(t, e)
				d := c.newDisk(c.nodeData, "64M", false)
				c.nodeOrder.ReserveMB = 8
				c.startHub(nil)
				c.startNode(nil)
				c.awaitLanded(3)
				d.fill(fault.leave)
				c.burden(4)
				c.awaitStill()
				d.empty()
				c.live()
				c.awaitLanded(5)
				c.settle()
			})
		}
	}
}
