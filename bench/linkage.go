package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/linkage/truth"
)

// linkageConfig is what "bench linkage" is told.
type linkageConfig struct {
	persons, organisations int
	duplicates             float64
	seed                   uint64
	out, progress          io.Writer
}

// linkageLine is one measurement. Precision, recall and F1 are of what is proposed without
// asking: a duplicate that people are asked about counts as not found.
type linkageLine struct {
	Name      string  `json:"name"`
	Rows      int     `json:"rows"`
	Pairs     int64   `json:"pairs"` // that were compared
	Wall      float64 `json:"wall_s"`
	CPU       float64 `json:"cpu_us_per_row"`
	PeakRSS   float64 `json:"peak_rss_mb,omitempty"` // of the process, the generator of the records included
	Precision float64 `json:"precision,omitempty"`
	Recall    float64 `json:"recall,omitempty"`
	F1        float64 `json:"f1,omitempty"`
	AskedSame int     `json:"asked_same,omitempty"` // duplicates among the questions
	AskedElse int     `json:"asked_else,omitempty"` // questions in vain
	Note      string  `json:"note,omitempty"`
}

func parseLinkage(args []string, stdout, stderr io.Writer) (linkageConfig, error) {
	config := linkageConfig{out: stdout, progress: stderr}
	flags := flag.NewFlagSet("linkage", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&config.persons, "persons", 200_000, "records of persons; 0 leaves them out")
	flags.IntVar(&config.organisations, "organisations", 50_000, "records of organisations; 0 leaves them out")
	flags.Float64Var(&config.duplicates, "duplicates", 0.02, "share of the records that are entered a second time")
	flags.Uint64Var(&config.seed, "seed", 1, "of the generator")
	return config, flags.Parse(args)
}

// runLinkage measures how duplicates are found among records of which the truth is known.
func runLinkage(ctx context.Context, config linkageConfig) error {
	if config.persons > 0 {
		people := truth.NewPeople(truth.Config{Records: config.persons, Duplicates: config.duplicates, Seed: config.seed})
		register := linkage.NewPersons(linkage.Config{Successors: truth.Successors})
		run := linkageRun{config, "linkage_persons", people}
		model, err := measureLinkage(ctx, &run, people.Record, register.Add, register)
		if err != nil {
			return err
		}
		index, err := register.Index(model)
		if err != nil {
			return err
		}
		if err := run.measureMatches(index, func(place int) error {
			record := people.Record(place)
			return index.Add(&record)
		}); err != nil {
			return err
		}
	}
	if config.organisations > 0 {
		firms := truth.NewFirms(truth.Config{Records: config.organisations, Duplicates: config.duplicates, Seed: config.seed})
		register := linkage.NewOrganisations(linkage.Config{Successors: truth.Successors})
		run := linkageRun{config, "linkage_organisations", firms}
		if _, err := measureLinkage(ctx, &run, firms.Record, register.Add, register); err != nil {
			return err
		}
	}
	return nil
}

type linkageRun struct {
	linkageConfig
	name     string
	register truth.Register
}

// searcher is a register of either kind.
type searcher interface {
	Estimate(ctx context.Context, answers linkage.Answers) (*linkage.Model, error)
	Find(ctx context.Context, m *linkage.Model, answers linkage.Answers) (*linkage.Result, error)
}

// measureLinkage adds all records, estimates the weights and finds the duplicates. Making the
// records is not counted.
func measureLinkage[R any](ctx context.Context, run *linkageRun, make1 func(int) R, add func(*R) error, register searcher) (*linkage.Model, error) {
	runtime.GC()
	if err := forgetPeak(os.Getpid()); err != nil {
		return nil, err
	}
	var wall, cpu time.Duration
	measured := func(work func() error) error {
		before, start := ownCPU(), time.Now()
		err := work()
		wall, cpu = wall+time.Since(start), cpu+ownCPU()-before
		return err
	}
	const chunk = 10_000
	records := make([]R, 0, chunk)
	rows := run.register.Len()
	for place := 0; place < rows; {
		records = records[:0]
		for ; place < rows && len(records) < chunk; place++ {
			records = append(records, make1(place))
		}
		if err := measured(func() error {
			for i := range records {
				if err := add(&records[i]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	var model *linkage.Model
	var result *linkage.Result
	if err := measured(func() (err error) {
		if model, err = register.Estimate(ctx, nil); err == nil {
			result, err = register.Find(ctx, model, nil)
		}
		return err
	}); err != nil {
		return nil, err
	}
	report := truth.Measure(run.register, result)
	if _, err := fmt.Fprintln(run.progress, run.name+": "+report.String()); err != nil {
		return nil, err
	}
	line := linkageLine{
		Name: run.name, Rows: rows, Pairs: result.Compared, Wall: round(wall.Seconds()), CPU: round(float64(cpu.Microseconds()) / float64(rows)),
		PeakRSS: round(memory(os.Getpid(), "VmHWM")), Precision: fine(report.Precision()), Recall: fine(report.Recall()), F1: fine(report.F1()),
		AskedSame: report.AskedSame, AskedElse: report.AskedElse,
	}
	if err := json.NewEncoder(run.out).Encode(line); err != nil {
		return nil, err
	}
	if run.duplicates == 0.02 && report.F1() < 0.95 {
		return nil, fmt.Errorf("%s: F1 is %.4f, want 0.95 at least", run.name, report.F1())
	}
	return model, nil
}

// measureMatches puts records in again, each as if it had changed, and asks what it matches.
func (run *linkageRun) measureMatches(index *linkage.PersonIndex, add func(int) error) error {
	rows := min(run.register.Len(), 50_000)
	before, start := ownCPU(), time.Now()
	pairs := int64(0)
	for place := range rows {
		if err := add(place); err != nil {
			return err
		}
		matches, _ := index.Match(truth.ID(place), nil)
		pairs += int64(len(matches.Pairs))
	}
	cpu := ownCPU() - before
	return json.NewEncoder(run.out).Encode(linkageLine{
		Name: run.name + "_changed", Rows: rows, Pairs: pairs, Wall: round(time.Since(start).Seconds()), CPU: round(float64(cpu.Microseconds()) / float64(rows)),
		Note: "one record replaced and matched at a time; pairs are those found; making the record is counted",
	})
}

// ownCPU is the time that all threads of this process have run.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// fine rounds to four places.
func fine(f float64) float64 { return math.Round(f*1e4) / 1e4 }
