package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// errUsage marks what the person at the keyboard got wrong.
type errUsage struct{ error }

func (e errUsage) Unwrap() error { return e.error }

// errQuiet marks a failure whose story has been told on standard output.
var errQuiet = errors.New("failed")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &command{stdout: stdout, stderr: stderr}
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if !c.started {
		// The flags and arguments were refused before any work began.
		printUsage(stderr, err, c.asked)
		return exitUsage
	}
	if !errors.Is(err, errQuiet) {
		printError(stderr, err)
	}
	var usage errUsage
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// printUsage tells what is wrong with a command line, and where to read on.
func printUsage(w io.Writer, err error, asked string) {
	printError(w, &lienthong.Error{
		Code: "usage", Where: err.Error(), Vi: "lệnh không đúng", En: "not a command that can be run",
		Hint: asked + " --help",
	})
}

// printError tells what was wrong in both languages, one problem after the other.
func printError(w io.Writer, err error) {
	for {
		usage, ok := err.(errUsage) //nolint:errorlint // the outermost only
		if !ok {
			break
		}
		err = usage.error
	}
	// Several problems are told apart; causes within one of them are not.
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range many.Unwrap() {
			printError(w, one)
		}
		return
	}
	var coded *lienthong.Error
	if !errors.As(err, &coded) {
		coded = &lienthong.Error{
			Code: "internal", Vi: "lỗi chưa lường trước", En: "a failure that nobody has foreseen", Err: err,
			Hint: "thử lại với --log-level debug; gửi kèm đoạn này khi báo lỗi / try again with --log-level debug; send this along when you report it",
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "lienthong: %s: %s / %s", coded.Code, coded.Vi, coded.En)
	if coded.Where != "" {
		fmt.Fprintf(&b, "\n  %s", coded.Where)
	}
	if coded.Hint != "" {
		fmt.Fprintf(&b, "\n  → %s", coded.Hint)
	}
	if coded.Err != nil {
		fmt.Fprintf(&b, "\n  %v", coded.Err)
	}
	fmt.Fprintln(w, b.String()) //nolint:errcheck // nothing is left to tell it to
}

type command struct {
	stdout, stderr io.Writer
	json           bool
	logLevel       string
	logFormat      string
	asked          string // the command that was asked for
	started        bool   // its work has begun
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "lienthong",
		Short: "Nền tảng dữ liệu dùng chung / the common data platform",
		Long: "Liên thông: nền tảng dữ liệu dùng chung của hệ thống chính trị.\n" +
			"One binary: an agency's node, a province's hub, the national hub, and the tools for them.",
		Example:      "  lienthong demo\n  lienthong hub --config hub.yaml\n  lienthong node --config node.yaml",
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON where data is printed")
	root.PersistentFlags().StringVar(&c.logLevel, "log-level", "warn", "debug, info, warn or error")
	root.PersistentFlags().StringVar(&c.logFormat, "log-format", "text", "text or json")
	root.AddCommand(c.demo(), c.hub(), c.node(), c.enrol(), c.signIn(), c.account(), c.audit(), c.dictionary(), c.contract(), c.database(), c.dataset(), c.quarantine(), c.correct(), c.snapshot(), c.push(), c.feed(), c.bundle(), c.receipts(), c.version())
	c.asked = root.CommandPath()
	c.watch(root)
	return root
}

// watch notes when a command's work begins: what is refused before that is wrong
// usage, for exit code 2.
func (c *command) watch(cmd *cobra.Command) {
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.started = true
			return work(cmd, args)
		}
	} else {
		// A command that only has others below it: say which there are.
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("%s: name one of %s", cmd.CommandPath(), strings.Join(names(cmd), ", "))
		}
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			c.asked = cmd.CommandPath()
			return check(cmd, args)
		}
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		c.asked = cmd.CommandPath()
		return err
	})
	for _, sub := range cmd.Commands() {
		c.watch(sub)
	}
}

func names(cmd *cobra.Command) []string {
	var list []string
	for _, sub := range cmd.Commands() {
		list = append(list, sub.Name())
	}
	return list
}

func (c *command) logger() (*slog.Logger, error) {
	log, err := telemetry.NewLogger(telemetry.LogConfig{Writer: c.stderr, Level: c.logLevel, Format: c.logFormat})
	if err != nil {
		return nil, errUsage{err}
	}
	return log, nil
}

func (c *command) printJSON(v any) error {
	encoder := json.NewEncoder(c.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func (c *command) printf(format string, args ...any) {
	fmt.Fprintf(c.stdout, format, args...) //nolint:errcheck // standard output
}

func (c *command) demo() *cobra.Command {
	var config app.DemoConfig
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "một đất nước nhỏ trong một tiến trình / a small country in one process",
		Example: "  lienthong demo\n  lienthong demo --once --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if config.Log, err = c.logger(); err != nil {
				return err
			}
			config.Progress = c.progress()
			config.Ready = func(link string) {
				fmt.Fprintf(c.stderr, "Mở / open: %s\n(liên kết dùng một lần / one-time link; Ctrl-C để dừng / to stop)\n", link) //nolint:errcheck // a terminal
			}
			config.People = func(links []app.PersonLink) {
				if config.Once {
					return
				}
				fmt.Fprintln(c.stderr, "Đăng nhập theo vai trò / sign in by role:") //nolint:errcheck // a terminal
				for _, l := range links {
					var roles []string
					for _, role := range l.Account.Roles {
						roles = append(roles, string(role))
					}
					fmt.Fprintf(c.stderr, "  %-16s %-4s %-16s %s\n", l.Account.Title, l.Account.Member, strings.Join(roles, ","), l.Link) //nolint:errcheck // a terminal
				}
			}
			if config.Once && !cmd.Flags().Changed("listen") {
				config.Listen = "127.0.0.1:0"
			}
			summary, err := app.RunDemo(cmd.Context(), config)
			if err != nil || summary == nil {
				return err
			}
			if c.json {
				err = c.printJSON(summary)
			} else {
				summary.WriteText(c.stdout)
			}
			if err == nil && !summary.Reconciled() {
				return errQuiet
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.Dir, "dir", "", "keep everything in this directory (default: a temporary one)")
	f.StringVar(&config.Postgres, "postgres", "", "DSN of a PostgreSQL server for the population source and the hub")
	f.BoolVar(&config.Once, "once", false, "stop when every dataset has landed and reconciled; exit 1 if one does not")
	f.StringVar(&config.Listen, "listen", "127.0.0.1:8080", "address of the console")
	f.Uint64Var(&config.Seed, "seed", 214, "seed of the generated country")
	f.IntVar(&config.Persons, "persons", 200_000, "persons in the population database")
	f.IntVar(&config.ChangesPerSecond, "rate", 20, "live changes per second")
	return cmd
}

// progress prints long work: one line that moves on a terminal, plain lines at
// the ends otherwise.
func (c *command) progress() func(what string, done, total int) {
	terminal := false
	if f, ok := c.stderr.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return func(what string, done, total int) {
		switch {
		case terminal && done < total:
			fmt.Fprintf(c.stderr, "\r%s %d/%d\033[K", what, done, total) //nolint:errcheck // a terminal
		case done >= total:
			mark := ""
			if terminal {
				mark = "\r"
			}
			fmt.Fprintf(c.stderr, "%s%s: %d ✓\n", mark, what, total) //nolint:errcheck // a terminal
		}
	}
}

func (c *command) hub() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "hub", Short: "chạy một trung tâm / run a hub", Example: "  lienthong hub --config hub.yaml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := c.logger()
			if err != nil {
				return err
			}
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			return app.RunHub(cmd.Context(), config, app.HubParts{Log: log}, func(h *app.Hub, first bool) {
				c.printf("hub %s: links %s, enrol %s\n", config.Name, h.LinksAddr(), h.EnrolURL())
				if config.Console == "off" {
					return
				}
				if !first {
					c.printf("console %s (đăng nhập / sign in: lienthong signin --config %s)\n", h.ConsoleURL(), path)
					return
				}
				if link, err := h.SignInURL(cmd.Context()); err == nil {
					c.printf("console %s\n", link)
				}
			})
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "configuration file (required)")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag was defined one line above
	}
}

func (c *command) node() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "node", Short: "chạy một nút / run a node", Example: "  lienthong node --config node.yaml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := c.logger()
			if err != nil {
				return err
			}
			config, err := app.LoadNodeConfig(path)
			if err != nil {
				return errUsage{err}
			}
			return app.RunNode(cmd.Context(), config, app.NodeParts{Log: log}, func() { c.printf("node %s: running\n", config.Name) })
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) enrol() *cobra.Command {
	var path, member, bloc, node string
	var hub bool
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "enrol", Short: "cấp mã đăng ký dùng một lần cho một nút / make a one-time enrolment token for a node",
		Example: "  lienthong enrol --config hub.yaml --member G15 --node g15", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			invite := app.Invite
			if hub {
				invite = app.InviteHub
			}
			token, err := invite(cmd.Context(), config, bloc, member, node, lifetime)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]string{"node": node, "member": member, "token": token})
			}
			c.printf("%s\n", token)
			return nil
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&member, "member", "", "electronic identifier of the organisation: G15")
	f.StringVar(&node, "node", "", "name of the node")
	f.StringVar(&bloc, "bloc", "government", "government, party, assembly, presidency, court, procuracy, audit, front, sociopolitical")
	f.BoolVar(&hub, "hub", false, "the node is a hub below this one, with nodes of its own behind it")
	f.DurationVar(&lifetime, "lifetime", 24*time.Hour, "how long the token is good, at most 24h")
	for _, name := range []string{"member", "node"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

func (c *command) signIn() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "signin", Short: "tạo liên kết đăng nhập dùng một lần / make a one-time sign-in link",
		Example: "  lienthong signin --config hub.yaml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := app.LoadHubConfig(path)
			if err != nil {
				return errUsage{err}
			}
			link, err := app.SignInLink(cmd.Context(), config)
			if err != nil {
				return err
			}
			c.printf("%s\n", link)
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (c *command) audit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "nhật ký kiểm toán / the audit log", Example: "  lienthong audit verify --data /var/lib/lienthong/hub", Args: cobra.NoArgs}
	var data string
	verify := &cobra.Command{
		Use: "verify", Short: "kiểm chứng nhật ký từ tệp và khóa công khai / verify a log from its files and public key",
		Example: "  lienthong audit verify --data /var/lib/lienthong/hub", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := app.VerifyLog(cmd.Context(), data)
			if err != nil {
				return err
			}
			if c.json {
				err = c.printJSON(report)
			} else {
				c.printf("entries %d\nroot %s\nverified %t\n", report.Entries, report.Root, report.Verified)
				for _, problem := range report.Problems {
					c.printf("problem: %v\n", problem)
				}
			}
			if err == nil && !report.Verified {
				return errQuiet
			}
			return err
		},
	}
	verify.Flags().StringVar(&data, "data", "", "data directory of the hub or node (required)")
	if err := verify.MarkFlagRequired("data"); err != nil {
		panic(err) // the flag was defined one line above
	}
	cmd.AddCommand(verify)
	return cmd
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "phiên bản / version", Example: "  lienthong version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, revision := "(devel)", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = s.Value
					}
				}
			}
			if c.json {
				return c.printJSON(map[string]string{"version": version, "revision": revision})
			}
			c.printf("lienthong %s %s\n", version, revision)
			return nil
		},
	}
}
