package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
)

func (c *command) database() *cobra.Command {
	cmd := &cobra.Command{Use: "database", Short: "các cơ sở dữ liệu / databases", Example: "  lienthong database list", Args: cobra.NoArgs}
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "liệt kê CSDL quốc gia và chuyên ngành / list the national and specialised databases",
		Example: "  lienthong database list", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			databases, err := app.Databases()
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(databases)
			}
			w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
			for _, d := range databases {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Code, d.Class, d.Owner, d.Confidence, d.NameVi) //nolint:errcheck // flushed below
			}
			return w.Flush()
		},
	})
	cmd.AddCommand(c.databaseAdd(), c.databaseCheck(), c.databaseStatus())
	return cmd
}

func (c *command) databaseAdd() *cobra.Command {
	var path string
	var request app.DatabaseRequest
	var once bool
	cmd := &cobra.Command{
		Use: "add DSN", Short: "nối một CSDL: kiểm tra, đề xuất ánh xạ, nạp lần đầu / connect a database: check, propose a mapping, load it",
		Long: "Nối một cơ sở dữ liệu chưa ai chuẩn bị. Nếu thiếu quyền hay cấu hình, lệnh in đúng các câu lệnh mà DBA phải chạy và không thay đổi gì.\n" +
			"Connects a database that nobody has prepared. When a right or a setting is missing, it prints the statements that a DBA must run, and changes nothing.\n" +
			"When the node runs, the command acts on it and ends once everything has landed and matches. Otherwise it runs the node until Ctrl-C, or with --once until then.",
		Example: "  lienthong database add postgres://reader@10.0.0.5/hotich --config node.yaml\n  lienthong database add ./population.db --config node.yaml --once",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.DSN = args[0]
			config, err := app.LoadNodeConfig(path)
			if err != nil {
				return errUsage{err}
			}
			if _, _, _, err := app.ParseDSN(request.DSN); err != nil {
				return errUsage{err}
			}
			door, err := app.DialLocal(config.Data)
			if lienthong.ErrorCode(err) == "local.not_running" {
				return c.addInProcess(cmd.Context(), config, request, once)
			}
			if err != nil {
				return err
			}
			defer door.Close()
			return c.addAndFollow(cmd.Context(), door, request)
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&request.Name, "name", "", "code of the database; default: what the address says")
	f.StringVar(&request.Title, "title", "", "what people call it")
	f.StringSliceVar(&request.Tables, "tables", nil, "only tables that match: public.*,ho_*")
	f.BoolVar(&once, "once", false, "end when everything has landed and matches, also when this command runs the node itself")
	return cmd
}

// addInProcess runs the node in this process, and gives it the command the way it is given
// to one that runs already.
func (c *command) addInProcess(ctx context.Context, config *app.NodeConfig, request app.DatabaseRequest, once bool) error {
	log, err := c.logger()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var added error
	done := make(chan struct{})
	err = app.RunNode(ctx, config, app.NodeParts{Log: log}, func() {
		go func() {
			defer close(done)
			door, err := app.DialLocal(config.Data)
			if err == nil {
				err = c.addAndFollow(ctx, door, request)
				door.Close()
			}
			added = err
			if err != nil || once {
				cancel()
				return
			}
			if !c.json {
				c.printf("đang theo dõi thay đổi; Ctrl-C để dừng / following changes; Ctrl-C to stop\n")
			}
		}()
	})
	if err != nil {
		return err
	}
	<-done
	if errors.Is(added, context.Canceled) {
		return nil
	}
	return added
}

// addAndFollow adds, says what was found, and shows progress until everything matches.
func (c *command) addAndFollow(ctx context.Context, door *app.Local, request app.DatabaseRequest) error {
	var report app.DatabaseReport
	if err := door.Do(ctx, "POST", "/database/add", request, &report); err != nil {
		return err
	}
	if !c.json {
		c.printReport(&report)
	}
	if !report.Ready() {
		if c.json {
			return errors.Join(c.printJSON(report), errQuiet)
		}
		return errQuiet
	}
	status, err := c.follow(ctx, door, report.Name)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(struct {
			app.DatabaseReport
			Status app.DatabaseStatus `json:"status"`
		}{report, status})
	}
	c.printStatus(&status)
	return nil
}

// follow polls until every dataset matches. One that stands still ends it with the reason.
func (c *command) follow(ctx context.Context, door *app.Local, database string) (app.DatabaseStatus, error) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		var s app.DatabaseStatus
		if err := door.Do(ctx, "GET", "/database/status?database="+url.QueryEscape(database), nil, &s); err != nil {
			return s, err
		}
		matching, read, expected := 0, int64(0), int64(0)
		var stopped []string
		for _, d := range s.Datasets {
			read, expected = read+d.SnapshotDone, expected+max(d.SnapshotRows, d.SnapshotDone)
			if d.Reconciled == string(lienthong.Matches) {
				matching++
			}
			if d.Stopped != "" {
				stopped = append(stopped, d.Dataset+": "+d.Stopped)
			}
		}
		line := fmt.Sprintf("%s: %d/%d khớp, %d/%d dòng / rows", database, matching, len(s.Datasets), read, expected)
		if line != last && !c.json {
			fmt.Fprintln(c.stderr, line) //nolint:errcheck // a terminal
			last = line
		}
		switch {
		case len(s.Datasets) > 0 && matching == len(s.Datasets):
			return s, nil
		case len(stopped) > 0 && matching+len(stopped) == len(s.Datasets):
			return s, &lienthong.Error{
				Code: "database.stopped", Where: strings.Join(stopped, ", "), Vi: "có tập dữ liệu đang dừng", En: "a dataset stands still",
				Hint: "lienthong database status",
			}
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

func (c *command) databaseCheck() *cobra.Command {
	var path string
	var request app.DatabaseRequest
	cmd := &cobra.Command{
		Use: "check DSN", Short: "xem có đọc được CSDL không, thiếu gì, vì sao / whether a database can be read, what is missing and why",
		Example: "  lienthong database check postgres://reader@10.0.0.5/hotich --config node.yaml --json", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.DSN = args[0]
			config, err := app.LoadNodeConfig(path)
			if err != nil {
				return errUsage{err}
			}
			report, err := app.CheckDatabase(cmd.Context(), config, request)
			if report != nil {
				if c.json {
					err = errors.Join(err, c.printJSON(report))
				} else {
					c.printReport(report)
				}
				if err == nil && !report.Ready() {
					return errQuiet
				}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&request.Name, "name", "", "code of the database; default: what the address says")
	cmd.Flags().StringSliceVar(&request.Tables, "tables", nil, "only tables that match: public.*,ho_*")
	return cmd
}

func (c *command) databaseStatus() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "status [DATABASE]", Short: "các tập dữ liệu của một nút đang chạy / the datasets of a running node",
		Example: "  lienthong database status --config node.yaml", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := app.LoadNodeConfig(path)
			if err != nil {
				return errUsage{err}
			}
			door, err := app.DialLocal(config.Data)
			if err != nil {
				return err
			}
			defer door.Close()
			var s app.DatabaseStatus
			if err := door.Do(cmd.Context(), "GET", "/database/status?database="+url.QueryEscape(strings.Join(args, "")), nil, &s); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(s)
			}
			c.printStatus(&s)
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// printReport shows what a person needs: what is missing first.
func (c *command) printReport(r *app.DatabaseReport) {
	c.printf("%s (%s)\n", r.Name, cmp.Or(r.Engine, r.Kind))
	missing := slices.DeleteFunc(slices.Clone(r.Required), func(q app.RequirementReport) bool { return q.OK })
	if len(missing) > 0 {
		c.printf("\nCòn thiếu, chưa thay đổi gì / missing, nothing was changed:\n")
	}
	for _, q := range missing {
		c.printf("  %s: %s\n    %s\n", q.Code, q.Vi, q.En)
		if q.Statement != "" {
			c.printf("      %s\n", strings.ReplaceAll(q.Statement, "\n", "\n      "))
		}
		if q.Restart {
			c.printf("      (rồi khởi động lại máy chủ / then restart the server)\n")
		}
	}
	if len(r.LeftOut) > 0 {
		c.printf("\nKhông đọc / left out:\n")
		for _, l := range r.LeftOut {
			c.printf("  %s: %s / %s\n", l.Name, l.Vi, l.En)
		}
	}
	if len(r.Datasets) == 0 {
		return
	}
	c.printf("\n")
	w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
	fmt.Fprintf(w, "tập dữ liệu / dataset\tbảng / table\tước lượng dòng / rows\tánh xạ / mapped\tđịnh danh / identity\n") //nolint:errcheck // flushed below
	for _, d := range r.Datasets {
		rows := "?"
		if d.Rows >= 0 {
			rows = fmt.Sprint(d.Rows)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d/%d\t%s\n", d.Dataset, d.Table, rows, d.Mapped, len(d.Columns), strings.Join(d.Identity, ", ")) //nolint:errcheck // flushed below
	}
	_ = w.Flush() // standard output
	c.printf("\n")
}

func (c *command) printStatus(s *app.DatabaseStatus) {
	link := "chưa nối / not linked"
	if s.Linked {
		link = "đã nối / linked"
	}
	c.printf("%s: %s, %d lô chờ biên nhận / batches without a receipt\n", s.Node, link, s.Waiting)
	w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
	fmt.Fprintf(w, "tập dữ liệu / dataset\tnguồn / source\tđã nhận / landed\tcách ly / held\tthay đổi / changes\tđối soát / compared\n") //nolint:errcheck // flushed below
	for _, d := range s.Datasets {
		state := cmp.Or(d.Stopped, d.Reconciled, "…")
		if d.SnapshotRows > 0 {
			state = fmt.Sprintf("nạp lần đầu / first load %d/%d", d.SnapshotDone, max(d.SnapshotRows, d.SnapshotDone))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", d.Dataset, d.SourceRows, d.LandedRows, d.Quarantined, d.Changes, state) //nolint:errcheck // flushed below
	}
	_ = w.Flush() // standard output
}
