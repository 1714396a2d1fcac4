package app

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/file"
	"github.com/lienthong/lienthong/internal/connector/mysql"
	"github.com/lienthong/lienthong/internal/connector/oracle"
	"github.com/lienthong/lienthong/internal/connector/polling"
	"github.com/lienthong/lienthong/internal/connector/postgres"
	"github.com/lienthong/lienthong/internal/connector/push"
	"github.com/lienthong/lienthong/internal/connector/sqlite"
	"github.com/lienthong/lienthong/internal/connector/sqlserver"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// PollingConfig reads a database by asking again and again.
type PollingConfig struct {
	// Driver is mysql, sqlserver, oracle or sqlite. Required, except with oracle.
	Driver string `yaml:"driver"`
	// DSN in the driver's own words. Required, except with oracle.
	DSN telemetry.Secret `yaml:"dsn"`
	// Every is the time between polls. Default: 10s.
	Every Duration `yaml:"every"`
	// Overlap is how far back a poll reads again, for transactions that commit late. Default: 5m.
	Overlap Duration `yaml:"overlap"`
	// Tables say how changes show. Tables that are not named are read whole each time.
	Tables []PollingTable `yaml:"tables"`
}

// PollingTable says how changes of a table show.
type PollingTable struct {
	Name      string   `yaml:"name"`      // as the database spells it, with its schema. Required.
	Key       []string `yaml:"key"`       // columns that name a row. Default: the primary key
	Monotonic string   `yaml:"monotonic"` // a column that every insert and update moves up
	// Deleted marks rows that count as deleted: with one of DeletedValues in it, or any value.
	Deleted       string   `yaml:"deleted"`
	DeletedValues []string `yaml:"deleted_values"`
	// SweepEvery is how often keys are compared to find rows that were deleted. Default: 1h.
	SweepEvery Duration `yaml:"sweep_every"`
	Skip       []string `yaml:"skip"` // columns that are not read
}

func pollingDialect(driver string) (polling.Dialect, bool) {
	switch driver {
	case "mysql":
		return polling.MySQL(), true
	case "sqlserver":
		return polling.SQLServer(), true
	case "oracle":
		return polling.Oracle(), true
	case "sqlite":
		return polling.SQLite(), true
	}
	return polling.Dialect{}, false
}

func (c *PollingConfig) check(p *problems, at string, oracle bool) {
	if !oracle {
		p.required(at+".driver", c.Driver)
		p.required(at+".dsn", c.DSN.Reveal())
		if _, known := pollingDialect(c.Driver); c.Driver != "" && !known {
			p.add(at+".driver", "cần mysql, sqlserver, oracle hoặc sqlite", "needs mysql, sqlserver, oracle or sqlite", "")
		}
	}
	for i := range c.Tables {
		p.required(fmt.Sprintf("%s.tables.%d.name", at, i), c.Tables[i].Name)
	}
}

func (c *PollingConfig) tables() []polling.Table {
	tables := make([]polling.Table, len(c.Tables))
	for i, t := range c.Tables {
		tables[i] = polling.Table{
			Name: t.Name, Key: t.Key, Monotonic: t.Monotonic, DeletedColumn: t.Deleted, DeletedValues: t.DeletedValues,
			KeySweepEvery: time.Duration(t.SweepEvery), Skip: t.Skip,
		}
	}
	return tables
}

// connection is what a source needs to know of its place in a node.
type connection struct {
	owner     string // names what is kept at the source for us
	node      string
	continues bool   // this node has read the source before
	state     string // directory for what the connector must remember
	files     string
	resolve   func(string) string
	signer    push.Signer
	tracker   push.Tracker
	parts     NodeParts
}

// connect opens the source that the configuration names: the list of technologies.
func connect(ctx context.Context, c *SourceConfig, at connection) (connector.Source, error) {
	now, log := at.parts.Now, at.parts.Log
	if c.MySQL != "" || c.SQLServer != "" || c.Oracle != "" || c.Push != nil || c.Polling != nil {
		if err := durable.MkdirAll(at.state, 0o700); err != nil {
			return nil, err
		}
	}
	switch {
	case c.Postgres != "":
		slot := c.Slot
		if slot == "" {
			var err error
			if slot, err = postgres.DefaultName(at.owner, c.Postgres.Reveal()); err != nil {
				return nil, err
			}
		}
		return postgres.Open(postgres.Config{DSN: c.Postgres.Reveal(), Name: slot, Continues: at.continues, Now: now, Log: log})
	case c.MySQL != "":
		dsn, err := mysqlDSN(c.MySQL.Reveal())
		if err != nil {
			return nil, err
		}
		return mysql.Open(mysql.Config{DSN: dsn, Name: plainCode(at.owner), StateDir: at.state, ServerID: c.ServerID, Now: now, Log: log})
	case c.SQLServer != "":
		return sqlserver.Open(sqlserver.Config{DSN: c.SQLServer.Reveal(), Name: at.owner, StateDir: at.state, Now: now, Log: log})
	case c.Oracle != "":
		return openOracle(ctx, c, at)
	case c.SQLite != "":
		return sqlite.Open(ctx, sqlite.Config{Path: at.resolve(c.SQLite), Now: now, Log: log})
	case c.Push != nil:
		return openPush(ctx, c.Push, at)
	case c.Polling != nil:
		dialect, _ := pollingDialect(c.Polling.Driver)
		db, err := openDriver(c.Polling.Driver, c.Polling.DSN.Reveal())
		if err != nil {
			return nil, badDSN() // the cause may repeat the password
		}
		return polling.Open(ctx, polling.Config{
			DB: db, Dialect: dialect, StateDir: at.state, Tables: c.Polling.tables(), Every: time.Duration(c.Polling.Every),
			Overlap: time.Duration(c.Polling.Overlap), Now: now, Log: log,
		})
	default:
		files := file.Config{Root: at.resolve(c.Files.Root), StateDir: at.files, Now: now, Log: log}
		for i := range c.Files.Tables {
			files.Tables = append(files.Tables, c.Files.Tables[i].table())
		}
		return file.Open(ctx, files)
	}
}

// openDriver opens a database for polling.
func openDriver(driver, dsn string) (*sql.DB, error) {
	switch driver {
	case "sqlserver":
		return sqlserver.OpenDB(dsn)
	case "oracle":
		return oracle.OpenDB(dsn)
	case "mysql":
		translated, err := mysqlDSN(dsn)
		if err != nil {
			return nil, err
		}
		return sql.Open("mysql", translated)
	}
	return sql.Open("sqlite", dsn)
}

// openOracle polls an Oracle database, as the configuration says beside it.
func openOracle(ctx context.Context, c *SourceConfig, at connection) (connector.Source, error) {
	config := oracle.Config{DSN: c.Oracle.Reveal(), Name: at.owner, StateDir: at.state, Now: at.parts.Now, Log: at.parts.Log}
	if how := c.Polling; how != nil {
		config.Tables, config.Every, config.Overlap = how.tables(), time.Duration(how.Every), time.Duration(how.Overlap)
	}
	return oracle.Open(ctx, config)
}

// mysqlDSN turns an address such as mysql://user:password@host:3306/db into the words of the
// driver, which are taken as they are, too.
func mysqlDSN(dsn string) (string, error) {
	scheme, _, has := strings.Cut(dsn, "://")
	if !has || !slices.Contains([]string{"mysql", "mariadb"}, scheme) {
		return dsn, nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", badDSN()
	}
	network, address := "tcp", u.Host
	if socket := u.Query().Get("socket"); socket != "" {
		network, address = "unix", socket
	} else if u.Port() == "" {
		address = u.Hostname() + ":3306"
	}
	account := ""
	if u.User != nil {
		password, _ := u.User.Password()
		account = u.User.Username() + ":" + password + "@"
	}
	query := u.Query()
	query.Del("socket")
	out := account + network + "(" + address + ")/" + strings.Trim(u.Path, "/")
	if len(query) > 0 {
		out += "?" + query.Encode()
	}
	return out, nil
}

func noSuchSource(what string) error {
	return &lienthong.Error{
		Code: "source.kind", Where: what, Vi: "nguồn này không phải loại đó", En: "this source is not of that kind",
		Hint: "lienthong database status",
	}
}
