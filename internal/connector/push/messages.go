package push

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
)

// result is what became of one record of a request.
type result struct {
	id      string
	version int64
	bad     *refusal // nil: accepted or repeated
	outcome outcome
}

// intake reads one request.
type intake struct {
	source     *Source
	client     *Client
	headerType string
	in         decoder

	results []result
	current *job
	places  []int // of the current job's records in results
	size    int   // bytes of the current job's records
	pending []pendingJob
	last    *job // the one that was drained last
	turn    func()
}

// pendingJob is a job that the writer has.
type pendingJob struct {
	job    *job
	places []int
}

// A job of a batch has so many records and bytes at most, and two of them are under way: while
// one is written the next is read.
const (
	jobRecords = 500
	jobBytes   = 4 << 20
	jobsAhead  = 2
)

func (s *Source) serveMessages(w http.ResponseWriter, r *http.Request, client *Client) {
	if s.full(r.Context()) {
		s.answerRefusal(w, r, refuse("push.full", ""))
		return
	}
	body, asXML, bad := s.body(w, r)
	if bad != nil {
		s.answerRefusal(w, r, bad)
		return
	}
	in := &intake{source: s, client: client, headerType: r.Header.Get("X-Data-Type")}
	if asXML {
		in.in = newXMLDecoder(body, s.config.Limits.RecordBytes)
	} else {
		in.in = newJSONDecoder(body, s.config.Limits.RecordBytes)
	}
	bad = in.read(r.Context())
	if in.turn != nil {
		defer in.turn()
	}
	switch {
	case len(in.results) == 0 && bad != nil:
		s.answerRefusal(w, r, bad)
	case in.in.batch():
		s.answerBatch(w, r, in.results, bad)
	case bad != nil:
		s.answerRefusal(w, r, bad)
	default:
		s.answerSingle(w, r, &in.results[0], in.last)
	}
}

// read takes the request's records to the end, or to what ends it early.
func (in *intake) read(ctx context.Context) *refusal {
	// A record that was read is in the writer's hands even when the caller goes away.
	ctx = context.WithoutCancel(ctx)
	defer in.drain(0)
	for {
		root, raw, err := in.in.next()
		switch {
		case errors.Is(err, io.EOF):
			return in.flush(ctx)
		case err != nil && !in.in.batch():
			in.results = nil // one message that is broken behind its record is no message
			return failure(err)
		case err != nil:
			if bad := in.flush(ctx); bad != nil {
				return bad
			}
			return failure(err)
		}
		if in.in.batch() {
			if len(in.results) >= in.source.config.Limits.BatchRecords {
				if bad := in.flush(ctx); bad != nil {
					return bad
				}
				return refuse("push.batch_too_long", "")
			}
			if in.turn == nil {
				leave, bad := in.source.waitForTurn(ctx)
				if bad != nil {
					return bad
				}
				in.turn = leave
			}
		}
		in.take(root, raw)
		if len(in.current.records) >= jobRecords || in.size >= jobBytes {
			if bad := in.flush(ctx); bad != nil {
				return bad
			}
			if in.source.full(ctx) {
				return refuse("push.full", "")
			}
		}
	}
}

// take prepares one record.
func (in *intake) take(root *node, raw []byte) {
	if in.current == nil {
		in.current = &job{client: in.client.Name}
	}
	m, bad := messageOf(root, in.headerType)
	r := result{id: m.ID, version: m.Version}
	var prepared record
	if bad == nil {
		prepared, bad = in.prepare(&m, raw)
	}
	if r.bad = bad; bad == nil {
		in.current.records = append(in.current.records, prepared)
		in.places = append(in.places, len(in.results))
		in.size += len(raw)
	}
	in.results = append(in.results, r)
}

func (in *intake) prepare(m *Message, raw []byte) (record, *refusal) {
	if !in.client.may(m.Type) {
		return record{}, refuse("push.forbidden", "NguonDuLieu.MaLoaiDuLieu")
	}
	t := in.source.recordType(m.Type)
	if t == nil {
		return record{}, refuse("push.type_unknown", "NguonDuLieu.MaLoaiDuLieu")
	}
	return prepare(m, t, raw)
}

// flush hands what was collected to the writer.
func (in *intake) flush(ctx context.Context) *refusal {
	if in.current == nil || len(in.current.records) == 0 {
		return nil
	}
	in.drain(jobsAhead - 1)
	next := pendingJob{in.current, in.places}
	in.current, in.places, in.size = &job{client: in.client.Name}, nil, 0
	if bad := in.source.submit(ctx, next.job); bad != nil {
		for _, place := range next.places {
			in.results[place].bad = bad
		}
		return bad
	}
	in.pending = append(in.pending, next)
	return nil
}

// drain waits until only so many jobs are under way, and takes the outcomes of the others.
func (in *intake) drain(left int) {
	for len(in.pending) > left {
		first := in.pending[0]
		in.pending = in.pending[1:]
		in.source.wait(first.job)
		for i, place := range first.places {
			r := &in.results[place]
			r.outcome = first.job.outcomes[i]
			if r.outcome.code != codeAccepted && r.outcome.code != codeRepeated {
				r.bad = refuse(r.outcome.code, columnVersion)
				if words(r.outcome.code).status != http.StatusConflict {
					r.bad.field = ""
				}
			}
		}
		first.job.records, in.last = nil, first.job
	}
}

func (a *answer) result(r *result) {
	a.text(columnKey, r.id)
	if r.version != 0 {
		a.number(columnVersion, r.version)
	}
	if r.bad != nil {
		a.refusal(r.bad)
		return
	}
	text := words(r.outcome.code)
	a.text("code", r.outcome.code)
	a.text("vi", text.vi)
	a.text("en", text.en)
	a.text("receipt", receiptName(r.outcome.acceptance, r.outcome.item))
}

// signed writes what was signed and the two parts of the signature.
func (a *answer) signed(name, payload, signature string) {
	a.object(name, func() { a.signedMembers(payload, signature) })
}

func (a *answer) signedMembers(payload, signature string) {
	protected, value := splitSignature(signature)
	a.text("payload", payload)
	a.text("protected", protected)
	a.text("signature", value)
}

// answerSingle answers with the acceptance that the record's job has just got, or, of a
// repeated record, with that of the first time.
func (s *Source) answerSingle(w http.ResponseWriter, r *http.Request, one *result, of *job) {
	if one.bad != nil {
		s.answerRefusal(w, r, one.bad)
		return
	}
	payload, signature := string(of.payload), of.signature
	if of.number != one.outcome.acceptance {
		var err error
		if _, _, payload, signature, _, err = s.acceptance(r.Context(), one.outcome.acceptance); err != nil {
			// The record is safe; sending it again brings the acceptance.
			s.internal(w, r, err)
			return
		}
	}
	w.Header().Set("Location", "/push/v1/receipts/"+receiptName(one.outcome.acceptance, one.outcome.item))
	s.respond(w, r, words(one.outcome.code).status, func(a *answer) {
		a.result(one)
		a.signed("acceptance", payload, signature)
	})
}

// answerBatch answers 200 when every record is in the inbox, 207 otherwise.
func (s *Source) answerBatch(w http.ResponseWriter, r *http.Request, results []result, ended *refusal) {
	var accepted, repeated, refused int64
	var numbers []int64
	retry := ""
	for i := range results {
		one := &results[i]
		switch {
		case one.bad != nil:
			refused++
			if words(one.bad.code).status == http.StatusServiceUnavailable {
				retry = one.bad.code
			}
			continue
		case one.outcome.code == codeAccepted:
			accepted++
		default:
			repeated++
		}
		numbers = append(numbers, one.outcome.acceptance)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if ended != nil && words(ended.code).status == http.StatusServiceUnavailable {
		retry = ended.code
	}
	if retry != "" {
		s.retryAfter(w, http.StatusServiceUnavailable, retry)
	}
	status := http.StatusOK
	if refused > 0 || ended != nil {
		status = http.StatusMultiStatus
	}
	s.respond(w, r, status, func(a *answer) {
		a.number("read", int64(len(results)))
		a.number(codeAccepted, accepted)
		a.number(codeRepeated, repeated)
		a.number("refused", refused)
		if ended != nil {
			a.object("ended", func() { a.refusal(ended) })
		}
		a.list("results", len(results), func(i int) {
			a.number("index", int64(i))
			a.result(&results[i])
		})
		a.list("acceptances", len(numbers), func(i int) {
			_, _, payload, signature, _, err := s.acceptance(r.Context(), numbers[i])
			if err != nil {
				s.config.Log.ErrorContext(r.Context(), "push: acceptance could not be read", slog.Any("error", err))
				return
			}
			a.text("id", strconv.FormatInt(numbers[i], 36))
			a.signedMembers(payload, signature)
		})
	})
}
