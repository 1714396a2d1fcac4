package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// Meters are the instruments of the platform, made once and handed to who
// counts. Labels are the names of nodes and datasets, kinds and codes: a bounded
// number of values, none of them personal.
type Meters struct {
	provider *sdk.MeterProvider
	handler  http.Handler

	rowsRead        metric.Int64Counter
	rowsLanded      metric.Int64Counter
	rowsIgnored     metric.Int64Counter
	rowsQuarantined metric.Int64Counter
	batches         metric.Int64Counter
	batchBytes      metric.Int64Counter
	lag             metric.Float64Histogram
	spoolBytes      metric.Int64Gauge
	spoolBatches    metric.Int64Gauge
	refusals        metric.Int64Counter
	auditEntries    metric.Int64Counter
	findings        metric.Int64Counter
	reconciliations metric.Int64Counter
}

// NewMeters makes the instruments and the page that Prometheus reads. Each call
// has a registry of its own, so several instances may live in one process.
func NewMeters() (*Meters, error) {
	registry := prometheus.NewRegistry()
	if err := errors.Join(
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	); err != nil {
		return nil, fmt.Errorf("make meters: %w", err)
	}
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo(),
		exporter.WithoutTargetInfo(), exporter.WithNamespace("lienthong"))
	if err != nil {
		return nil, fmt.Errorf("make meters: %w", err)
	}
	m := &Meters{
		provider: sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithCardinalityLimit(20_000)),
		handler:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}),
	}
	meter := m.provider.Meter("github.com/lienthong/lienthong")
	var problems []error
	counter := func(target *metric.Int64Counter, name, unit, description string) {
		made, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		*target, problems = made, append(problems, err)
	}
	gauge := func(target *metric.Int64Gauge, name, unit, description string) {
		made, err := meter.Int64Gauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		*target, problems = made, append(problems, err)
	}
	counter(&m.rowsRead, "rows_read", "", "Rows read from a source.")
	counter(&m.rowsLanded, "rows_landed", "", "Rows that changed the hub's store.")
	counter(&m.rowsIgnored, "rows_ignored", "", "Rows that the hub had already.")
	counter(&m.rowsQuarantined, "rows_quarantined", "", "Rows held back by a blocking rule.")
	counter(&m.batches, "batches", "", "Batches by stage: sealed, landed, acknowledged.")
	counter(&m.batchBytes, "batch_bytes", "By", "Bytes of batches by stage, compressed.")
	gauge(&m.spoolBytes, "spool_bytes", "By", "Bytes in the spool that wait for a receipt.")
	gauge(&m.spoolBatches, "spool_batches", "", "Batches in the spool that wait for a receipt.")
	counter(&m.refusals, "refusals", "", "What was refused, by code.")
	counter(&m.auditEntries, "audit_entries", "", "Entries written to the audit log.")
	counter(&m.findings, "findings", "", "Records that broke a rule, by group of error.")
	counter(&m.reconciliations, "reconciliations", "", "Reconciliations by result.")
	m.lag, err = meter.Float64Histogram("lag", metric.WithUnit("s"),
		metric.WithDescription("Time from the commit at the source to the commit at the hub."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.02, 0.03, 0.06, 0.12, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600, 86400))
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, fmt.Errorf("make meters: %w", err)
	}
	return m, nil
}

// Handler serves the page that Prometheus reads.
func (m *Meters) Handler() http.Handler { return m.handler }

// Close ends the meters.
func (m *Meters) Close(ctx context.Context) error {
	if err := m.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("close meters: %w", err)
	}
	return nil
}

// Refused counts a refusal by its code.
func (m *Meters) Refused(ctx context.Context, code string) {
	m.refusals.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("code", code))))
}

// Audited counts entries of the audit log.
func (m *Meters) Audited(ctx context.Context, entries int) { m.auditEntries.Add(ctx, int64(entries)) }

// StreamMeters are the meters of one stream. Its labels are made once, so that
// counting on a hot path allocates nothing for them.
type StreamMeters struct {
	meters                       *Meters
	base                         metric.MeasurementOption
	sealed, landed, acknowledged metric.MeasurementOption
	findings                     map[lienthong.ErrorGroup]metric.MeasurementOption
	results                      map[lienthong.ReconcileWord]metric.MeasurementOption
}

// Stream returns the meters of a stream. Keep them.
func (m *Meters) Stream(stream lienthong.Stream) *StreamMeters {
	labels := func(more ...attribute.KeyValue) metric.MeasurementOption {
		all := append([]attribute.KeyValue{
			attribute.String("node", stream.Node), attribute.String("dataset", stream.Dataset.String()),
		}, more...)
		return metric.WithAttributeSet(attribute.NewSet(all...))
	}
	s := &StreamMeters{
		meters: m, base: labels(),
		sealed:       labels(attribute.String("stage", "sealed")),
		landed:       labels(attribute.String("stage", "landed")),
		acknowledged: labels(attribute.String("stage", "acknowledged")),
		findings:     make(map[lienthong.ErrorGroup]metric.MeasurementOption),
		results: map[lienthong.ReconcileWord]metric.MeasurementOption{
			lienthong.Matches: labels(attribute.String("result", "matches")),
			lienthong.Differs: labels(attribute.String("result", "differs")),
			lienthong.Failed:  labels(attribute.String("result", "failed")),
		},
	}
	for _, group := range lienthong.ErrorGroups() {
		s.findings[group] = labels(attribute.String("group", string(group)))
	}
	return s
}

// Read counts rows that came from the source.
func (s *StreamMeters) Read(ctx context.Context, rows int) {
	s.meters.rowsRead.Add(ctx, int64(rows), s.base)
}

// Quarantined counts rows that were held back.
func (s *StreamMeters) Quarantined(ctx context.Context, rows int) {
	s.meters.rowsQuarantined.Add(ctx, int64(rows), s.base)
}

// Found counts records that broke a rule of the group.
func (s *StreamMeters) Found(ctx context.Context, group lienthong.ErrorGroup, records int) {
	if option, ok := s.findings[group]; ok {
		s.meters.findings.Add(ctx, int64(records), option)
	}
}

// Sealed counts a batch that went into the spool.
func (s *StreamMeters) Sealed(ctx context.Context, bytes int) {
	s.meters.batches.Add(ctx, 1, s.sealed)
	s.meters.batchBytes.Add(ctx, int64(bytes), s.sealed)
}

// Acknowledged counts a batch whose receipt has come.
func (s *StreamMeters) Acknowledged(ctx context.Context) {
	s.meters.batches.Add(ctx, 1, s.acknowledged)
}

// Landed counts a batch that the hub has applied.
func (s *StreamMeters) Landed(ctx context.Context, bytes, landed, ignored int) {
	s.meters.batches.Add(ctx, 1, s.landed)
	s.meters.batchBytes.Add(ctx, int64(bytes), s.landed)
	s.meters.rowsLanded.Add(ctx, int64(landed), s.base)
	s.meters.rowsIgnored.Add(ctx, int64(ignored), s.base)
}

// Lag records how long a change took from source to hub.
func (s *StreamMeters) Lag(ctx context.Context, lag time.Duration) {
	s.meters.lag.Record(ctx, max(lag, 0).Seconds(), s.base)
}

// Spool says what waits for a receipt.
func (s *StreamMeters) Spool(ctx context.Context, batches, bytes int64) {
	s.meters.spoolBatches.Record(ctx, batches, s.base)
	s.meters.spoolBytes.Record(ctx, bytes, s.base)
}

// Reconciled counts a reconciliation.
func (s *StreamMeters) Reconciled(ctx context.Context, result lienthong.ReconcileWord) {
	if option, ok := s.results[result]; ok {
		s.meters.reconciliations.Add(ctx, 1, option)
	}
}
