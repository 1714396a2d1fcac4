package main

import (
	"context"
	"fmt"
	"net/url"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/capture"
)

// withNode gives a command to the running node of a configuration.
func (c *command) withNode(ctx context.Context, path string, give func(ctx context.Context, door *app.Local) error) error {
	config, err := app.LoadNodeConfig(path)
	if err != nil {
		return errUsage{err}
	}
	door, err := app.DialLocal(config.Data)
	if err != nil {
		return err
	}
	defer door.Close()
	return give(ctx, door)
}

// whoever is the person at the keyboard, for the record's history.
func whoever() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

func day(micros int64) string {
	if micros == 0 {
		return ""
	}
	return time.UnixMicro(micros).Local().Format("2006-01-02 15:04")
}

func (c *command) quarantine() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Short: "bản ghi bị giữ lại tại một nút / records that a node holds back",
		Example: "  lienthong quarantine list --config node.yaml", Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.quarantineList(), c.quarantineShow(), c.quarantineRelease(), c.quarantineExpire())
	return cmd
}

func (c *command) quarantineList() *cobra.Command {
	var path, dataset, rule, after string
	var states []string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "liệt kê / list", Example: "  lienthong quarantine list --config node.yaml --dataset population.person", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withNode(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				query := url.Values{"dataset": {dataset}, "rule": {rule}, "after": {after}, "limit": {fmt.Sprint(limit)}, "state": states}
				var page capture.QuarantinePage
				if err := door.Do(ctx, "GET", "/quarantine?"+query.Encode(), nil, &page); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(page)
				}
				for _, state := range capture.QuarantineStates() {
					c.printf("%s %d  ", state, page.Counts[state])
				}
				c.printf("\n")
				w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
				fmt.Fprintf(w, "tập dữ liệu / dataset\tbản ghi / record\ttrạng thái / state\ttừ / since\tquy tắc / rules\n") //nolint:errcheck // flushed below
				for _, e := range page.Entries {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Dataset, e.ID, e.State, day(e.Since), strings.Join(e.Rules, ", ")) //nolint:errcheck // flushed below
				}
				if err := w.Flush(); err != nil {
					return err
				}
				if page.Next != "" {
					c.printf("--after %s\n", page.Next)
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&dataset, "dataset", "", "only of this dataset")
	f.StringVar(&rule, "rule", "", "only records that break this rule")
	f.StringSliceVar(&states, "state", nil, "held, expired, released, fixed, gone; default: all")
	f.StringVar(&after, "after", "", "go on after this place of the page before")
	f.IntVar(&limit, "limit", 100, "records")
	return cmd
}

func (c *command) quarantineShow() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "show DATASET RECORD", Short: "giải thích một bản ghi và lịch sử của nó / explain one record, and its history",
		Example: "  lienthong quarantine show population.person P0003 --config node.yaml", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withNode(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var e capture.Explanation
				query := url.Values{"dataset": {args[0]}, "id": {args[1]}}
				if err := door.Do(ctx, "GET", "/quarantine/record?"+query.Encode(), nil, &e); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(e)
				}
				c.printf("%s %s: %s\n", e.Dataset, e.ID, e.State)
				for _, p := range e.Problems {
					mark := " "
					if p.Blocking {
						mark = "!"
					}
					c.printf("%s %s (%s) %s\n    %s\n    %s\n    → %s\n      %s\n", mark, p.Rule, p.Column, p.Sample, p.Vi, p.En, p.DoVi, p.DoEn)
				}
				for _, h := range e.History {
					c.printf("  %s %s %s %s %s\n", day(h.At), h.State, strings.Join(h.Rules, ", "), h.By, h.Reason)
				}
				return nil
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) quarantineRelease() *cobra.Command {
	var path string
	order := app.QuarantineOrder{By: whoever()}
	cmd := &cobra.Command{
		Use: "release DATASET RECORD", Short: "cho một bản ghi đi qua dù trái quy tắc / let one record pass although it breaks a rule",
		Long: "Bản ghi đi qua đúng với các giá trị hiện tại; khi các giá trị đó đổi mà vẫn sai, nó lại bị giữ.\n" +
			"The record passes with the values that it has now; it is held again when these change to others that are wrong. The finding stays open.",
		Example: "  lienthong quarantine release population.person P0003 --reason 'giấy tờ gốc ghi như vậy' --config node.yaml", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			order.Dataset, order.ID = args[0], args[1]
			return c.decide(cmd.Context(), path, "/quarantine/release", &order)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&order.By, "by", order.By, "who decides")
	cmd.Flags().StringVar(&order.Reason, "reason", "", "why (required)")
	if err := cmd.MarkFlagRequired("reason"); err != nil {
		panic(err) // the flag was defined one line above
	}
	return cmd
}

func (c *command) quarantineExpire() *cobra.Command {
	var path string
	var days int
	order := app.QuarantineOrder{By: whoever()}
	cmd := &cobra.Command{
		Use: "expire DATASET", Short: "thôi chờ những bản ghi đã giữ quá lâu / stop waiting for records that have been held too long",
		Long: "Bản ghi hết hạn vẫn bị giữ và vẫn được đếm; chúng chỉ không còn chờ ai.\n" +
			"Expired records stay held and counted: they only wait for nobody any more.",
		Example: "  lienthong quarantine expire population.person --older-than-days 90 --config node.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order.Dataset, order.Before = args[0], time.Now().AddDate(0, 0, -days).UnixMicro()
			return c.decide(cmd.Context(), path, "/quarantine/expire", &order)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&order.By, "by", order.By, "who decides")
	cmd.Flags().IntVar(&days, "older-than-days", 90, "held for longer than so many days")
	return cmd
}

func (c *command) decide(ctx context.Context, path, what string, order *app.QuarantineOrder) error {
	return c.withNode(ctx, path, func(ctx context.Context, door *app.Local) error {
		var done app.QuarantineDone
		if err := door.Do(ctx, "POST", what, order, &done); err != nil {
			return err
		}
		if c.json {
			return c.printJSON(done)
		}
		c.printf("%d bản ghi / records\n", done.Records)
		return nil
	})
}

func (c *command) snapshot() *cobra.Command {
	cmd := &cobra.Command{
		Use: "snapshot", Short: "nạp lần đầu và nạp lại / first loads, and loading again",
		Example: "  lienthong snapshot status --config node.yaml", Args: cobra.NoArgs,
	}
	var path, again string
	var order app.SnapshotOrder
	status := &cobra.Command{
		Use: "status", Short: "tiến độ / progress", Example: "  lienthong snapshot status --config node.yaml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withNode(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var all []capture.SnapshotStatus
				if err := door.Do(ctx, "GET", "/snapshot", nil, &all); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(all)
				}
				w := tabwriter.NewWriter(c.stdout, 2, 4, 2, ' ', 0)
				fmt.Fprintf(w, "tập dữ liệu / dataset\ttrạng thái / state\tdòng / rows\tmảnh / chunks\tdòng/s\tcòn / left\t\n") //nolint:errcheck // flushed below
				for _, s := range all {
					fmt.Fprintf(w, "%s\t%s\t%d/%d\t%d/%d\t%.0f\t%s\t%s\n", s.Dataset, s.State, s.Rows, max(s.Expected, s.Rows), //nolint:errcheck // flushed below
						s.ChunksDone, s.Chunks, s.RowsPerSecond, s.Remaining.Round(time.Second), s.PausedVi)
				}
				return w.Flush()
			})
		},
	}
	configFlag(status, &path)
	start := &cobra.Command{
		Use: "start DATASET", Short: "nạp lại một tập dữ liệu hoặc một khoảng khóa / load a dataset again, or a range of its keys",
		Example: "  lienthong snapshot start population.person --from P0100 --to P0199 --config node.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order.Dataset = args[0]
			return c.withNode(cmd.Context(), again, func(ctx context.Context, door *app.Local) error {
				return door.Do(ctx, "POST", "/snapshot", &order, nil)
			})
		},
	}
	configFlag(start, &again)
	start.Flags().StringVar(&order.Keys.From, "from", "", "first record")
	start.Flags().StringVar(&order.Keys.To, "to", "", "last record")
	cmd.AddCommand(status, start)
	return cmd
}

func (c *command) dataset() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dataset", Short: "một tập dữ liệu của nút: vì sao dừng, cho đi tiếp / a dataset of a node: why it stands still, letting it go on",
		Example: "  lienthong dataset show population.person --config node.yaml", Args: cobra.NoArgs,
	}
	var path, releasePath string
	show := &cobra.Command{
		Use: "show DATASET", Short: "tình trạng và khác biệt cấu trúc / its state, and what is different about its table",
		Example: "  lienthong dataset show population.person --config node.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withNode(cmd.Context(), path, func(ctx context.Context, door *app.Local) error {
				var s capture.Status
				if err := door.Do(ctx, "GET", "/dataset?dataset="+url.QueryEscape(args[0]), nil, &s); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(s)
				}
				c.printDataset(&s)
				return nil
			})
		},
	}
	configFlag(show, &path)
	release := &cobra.Command{
		Use: "release DATASET", Short: "cho đi tiếp với định nghĩa vừa sửa / let it go on with its definition as it is written now",
		Long: "Sửa tệp định nghĩa trước. Chỉ phần khác nhau được gửi lại, không nạp lại từ đầu.\n" +
			"Correct the file of the definition first. Only what differs is sent; nothing is loaded anew.",
		Example: "  lienthong dataset release population.person --config node.yaml", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withNode(cmd.Context(), releasePath, func(ctx context.Context, door *app.Local) error {
				return door.Do(ctx, "POST", "/dataset/release?dataset="+url.QueryEscape(args[0]), nil, nil)
			})
		},
	}
	configFlag(release, &releasePath)
	cmd.AddCommand(show, release, c.datasetRecheck())
	return cmd
}

func (c *command) printDataset(s *capture.Status) {
	state := "đang chạy / running"
	if problem := s.Stopped + s.Failure; problem != "" {
		state = problem
	}
	c.printf("%s: %s, v%d\n", s.Dataset, state, s.ShapeVersion)
	d := s.Difference
	if d == nil {
		return
	}
	c.printf("  %s\n  %s\n", d.Vi, d.En)
	for _, change := range d.Changes {
		c.printf("    %s %s: %s → %s\n", change.What, change.Column, change.Old, change.New)
	}
	for _, p := range d.Proposal {
		c.printf("    %s ← %s\n", p.Field, strings.Join(slices.DeleteFunc([]string{p.Old, p.New}, func(s string) bool { return s == "" }), " → "))
	}
	c.printf("  → %s\n    %s\n", d.DoVi, d.DoEn)
}

func (c *command) push() *cobra.Command {
	cmd := &cobra.Command{
		Use: "push", Short: "hệ thống được phép gửi dữ liệu vào nút / systems that may send records to a node",
		Example: "  lienthong push add tu-phap --type KetHon --config node.yaml", Args: cobra.NoArgs,
	}
	var addPath, listPath, removePath string
	var client app.PushClient
	add := &cobra.Command{
		Use: "add NAME", Short: "thêm; khóa chỉ hiện một lần / add one; its key is shown once", Args: cobra.ExactArgs(1),
		Example: "  lienthong push add tu-phap --type KetHon --config node.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			client.Name = args[0]
			return c.withNode(cmd.Context(), addPath, func(ctx context.Context, door *app.Local) error {
				var made app.PushClient
				if err := door.Do(ctx, "POST", "/push/clients", &client, &made); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(made)
				}
				c.printf("%s\n", made.Key)
				return nil
			})
		},
	}
	configFlag(add, &addPath)
	add.Flags().StringSliceVar(&client.Types, "type", nil, "record types that it may send; * for all (required)")
	add.Flags().StringVar(&client.Certificate, "certificate", "", "the name in its client certificate, instead of a key")
	add.Flags().StringVar(&client.Source, "source", "", "name of the source, when the node has several with an inbox")
	if err := add.MarkFlagRequired("type"); err != nil {
		panic(err) // the flag was defined above
	}
	list := &cobra.Command{
		Use: "list", Short: "liệt kê / list", Args: cobra.NoArgs, Example: "  lienthong push list --config node.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withNode(cmd.Context(), listPath, func(ctx context.Context, door *app.Local) error {
				var clients []app.PushClient
				if err := door.Do(ctx, "GET", "/push/clients", nil, &clients); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(clients)
				}
				for _, one := range clients {
					c.printf("%s\t%s\t%s\n", one.Name, strings.Join(one.Types, ","), one.Certificate)
				}
				return nil
			})
		},
	}
	configFlag(list, &listPath)
	remove := &cobra.Command{
		Use: "remove NAME", Short: "bỏ; có hiệu lực ngay / remove, at once", Args: cobra.ExactArgs(1),
		Example: "  lienthong push remove tu-phap --config node.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withNode(cmd.Context(), removePath, func(ctx context.Context, door *app.Local) error {
				return door.Do(ctx, "DELETE", "/push/clients/"+url.PathEscape(args[0]), nil, nil)
			})
		},
	}
	configFlag(remove, &removePath)
	cmd.AddCommand(add, list, remove)
	return cmd
}
