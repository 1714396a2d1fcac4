package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/trust"
)

// intruder has a key of its own, and the stolen certificate of the node: without it
// the hub's door would let nothing through that is in the node's name.
type intruder struct {
	*country
	identity *trust.Identity // an admitted node's
	stolen   *trust.Identity
	number   int
}

type believer struct{}

func (believer) VerifyNode([]byte, string) (string, error) { return "hub", nil }

func (c *country) newIntruder() *intruder {
	c.t.Helper()
	ctx := c.t.Context()
	identity, err := trust.OpenIdentity(c.path("other-keys"), "other", trust.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := trust.Enrol(ctx, c.enrol, c.tokens["other"], identity); err != nil {
		c.t.Fatal(err)
	}
	stolen, err := trust.OpenIdentity(filepath.Join(c.nodeData, "keys"), nodeName, trust.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return &intruder{country: c, identity: identity, stolen: stolen}
}

// send puts a batch on the road to the hub, from a spool of its own, until stop.
func (i *intruder) send(s *batch.Sealed) (stop func()) {
	i.t.Helper()
	membership, _ := i.stolen.Membership()
	tls, err := i.stolen.ClientTLS(membership.Hub)
	if err != nil {
		i.t.Fatal(err)
	}
	i.number++
	node, err := bus.StartNode(i.t.Context(), bus.NodeConfig{
		Name: "other", Dir: i.path(fmt.Sprintf("other-spool-%d", i.number)), HubAddr: i.links, TLS: tls,
		Signer: i.identity, Hub: believer{}, HubName: "hub",
		Receipted: func(context.Context, []bus.SignedReceipt, []lienthong.Receipt) error { return nil },
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		i.t.Fatal(err)
	}
	if err := node.Append(i.t.Context(), s); err != nil {
		i.t.Fatal(err)
	}
	stop = sync.OnceFunc(node.Close)
	i.t.Cleanup(stop)
	return stop
}

// sealed reads what the node has sealed so far.
func (c *country) sealed() ([]*batch.Sealed, error) {
	file, err := os.Open(c.nodeOrder.Sealed)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var all []*batch.Sealed
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil { // the end, or a line that is being written
			return all, nil
		}
		var s batch.Sealed
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, err
		}
		all = append(all, &s)
	}
}

// refused reports whether the hub's log names the refusal of a batch.
func (c *country) refused(code string, sequence uint64) (bool, error) {
	entries, err := entriesOf(c.hubData)
	for _, e := range entries {
		if e.Kind == audit.Refusal && e.Detail["code"] == code && e.Node == nodeName && e.Sequence == sequence {
			return true, nil
		}
	}
	return false, err
}

// TestForgery sends the hub what a genuine chain does not hold: each is refused
// under its own name, and the genuine chain goes on as if nothing had been.
func TestForgery(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			c := newCountry(t, e)
			c.nodeOrder.Sealed = c.path("sealed.jsonl")
			c.startHub(nil)
			c.startNode(nil)
			c.live()
			c.awaitLanded(8)
			c.line.cut() // the genuine chain stands still at the hub and goes on at the node
			landed, since := int64(0), time.Now()
			c.await("the hub has landed what was on its way", func() (bool, error) {
				n, err := c.landed()
				if n != landed {
					landed, since = n, time.Now()
				}
				return time.Since(since) > time.Second, err
			})
			var genuine []*batch.Sealed
			c.await("batches that the hub does not have", func() (_ bool, err error) {
				genuine, err = c.sealed()
				return int64(len(genuine)) > landed+8, err
			})
			head := genuine[landed-1]
			intruder := c.newIntruder()
			seal := func(signer batch.Signer, sequence uint64, previous string) *batch.Sealed {
				sealer, err := batch.NewSealer(signer)
				if err != nil {
					t.Fatal(err)
				}
				header := head.Header
				header.Sequence, header.Previous, header.Kind = sequence, previous, lienthong.ReportBatch
				header.Count, header.Checkpoint, header.Bucket = 0, "", nil
				s, err := sealer.Seal(header, []byte("{}"))
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			next := head.Header.Sequence + 1
			ahead := genuine[landed+3]
			early := genuine[2]
			truncated := *early
			truncated.Payload = truncated.Payload[:len(truncated.Payload)/2]
			altered := *genuine[1]
			altered.Payload = append([]byte(nil), altered.Payload...)
			altered.Payload[len(altered.Payload)-1] ^= 1
			respelled := *genuine[0]
			respelled.HeaderBytes = append([]byte("{ "), respelled.HeaderBytes[1:]...)
			for _, attack := range []struct {
				name string
				code string
				at   uint64 // the sequence that the log names
				sent *batch.Sealed
			}{
				{"signed by another node", "batch.forged", next, seal(intruder.identity, next, head.Digest())},
				{"replayed", "batch.replayed", early.Header.Sequence, early},
				{"truncated", "batch.payload", early.Header.Sequence, &truncated},
				{"altered", "batch.payload", 2, &altered},
				{"header respelled", "batch.header", 1, &respelled},
				{"reordered", "batch.gap", next, ahead},
				{"another chain", "batch.chain", next, seal(intruder.stolen, next, early.Digest())},
				{"another batch under a number that has landed", "store.forked", 3, seal(intruder.stolen, 3, genuine[1].Digest())},
			} {
				stop := intruder.send(attack.sent)
				c.await(attack.name+" is named "+attack.code, func() (bool, error) { return c.refused(attack.code, attack.at) })
				stop()
			}
			after, err := c.landed()
			if err := errors.Join(err, c.healthy()); err != nil {
				t.Fatal(err)
			}
			if after != landed {
				t.Fatalf("%d batches in the ledger, %d before the intruder", after, landed)
			}
			c.line.heal(resume)
			c.awaitLanded(5)
			c.settle()
		})
	}
}
