package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/store"
)

// accountKind is the kind of the documents that accounts are kept as.
const accountKind = "account"

// Account is a person who works at a hub: for which organisation, and as what.
type Account struct {
	Name   string               `json:"name"`  // names the person in histories: "an.nguyen"
	Title  string               `json:"title"` // as people call the person
	Member lienthong.MemberCode `json:"member"`
	Roles  []stewardship.Role   `json:"roles"`
}

// Accounts lists those who work here, in order of their names.
func (h *Hub) Accounts(ctx context.Context) ([]Account, error) { return accountsOf(ctx, h.store) }

func accountsOf(ctx context.Context, records *store.Store) ([]Account, error) {
	documents, err := records.Documents(ctx, accountKind, "active")
	if err != nil {
		return nil, err
	}
	accounts := make([]Account, len(documents))
	for i, d := range documents {
		if err := json.Unmarshal(d.Body, &accounts[i]); err != nil {
			return nil, fmt.Errorf("account %s: %w", d.ID, err)
		}
	}
	return accounts, nil
}

// check lists what is wrong with an account.
func (a *Account) check(known *dictionary.Dictionary) error {
	refuse := func(vi, en, hint string) error {
		return &lienthong.Error{Code: "account.wrong", Where: a.Name, Vi: vi, En: en, Hint: hint}
	}
	if a.Name == "" || a.Name == administrator || strings.ToLower(a.Name) != a.Name || strings.ContainsAny(a.Name, " /\t\n") {
		return refuse("tên tài khoản gồm chữ thường không dấu cách", "an account's name is lower case without spaces", "an.nguyen")
	}
	if _, found := known.Member(string(a.Member)); !found {
		return refuse("không có cơ quan mang mã này: "+string(a.Member), "no organisation has this code: "+string(a.Member), "lienthong member list")
	}
	var names []string
	for _, role := range stewardship.Roles() {
		names = append(names, string(role.Role))
	}
	for _, role := range a.Roles {
		if !slices.Contains(names, string(role)) {
			return refuse("không có vai trò "+string(role), "there is no role "+string(role), strings.Join(names, ", "))
		}
	}
	if len(a.Roles) == 0 {
		return refuse("tài khoản chưa có vai trò", "the account has no role", strings.Join(names, ", "))
	}
	return nil
}

// SaveAccount adds a person, or changes what the person may do. Open sessions follow at once.
func (h *Hub) SaveAccount(ctx context.Context, account Account) error {
	return saveAccount(ctx, h.store, h.words, account, h.now().UnixMicro())
}

func saveAccount(ctx context.Context, records *store.Store, known *dictionary.Dictionary, account Account, at int64) error {
	if err := account.check(known); err != nil {
		return err
	}
	if account.Title == "" {
		account.Title = account.Name
	}
	return storeAccount(ctx, records, account, "active", at)
}

func storeAccount(ctx context.Context, records *store.Store, account Account, state string, at int64) error {
	body, err := json.Marshal(account)
	if err != nil {
		return err
	}
	before, _, err := records.Document(ctx, accountKind, account.Name)
	if err != nil {
		return err
	}
	_, err = records.SaveDocuments(ctx, lienthong.Document{
		Kind: accountKind, ID: account.Name, Revision: before.Revision, State: state, Actor: administrator, At: at, Body: body,
	})
	return err
}

// account finds who a session belongs to.
func (h *Hub) account(ctx context.Context, name string) (Account, bool) {
	document, found, err := h.store.Document(ctx, accountKind, name)
	if err != nil || !found || document.State != "active" {
		return Account{}, false
	}
	var account Account
	return account, json.Unmarshal(document.Body, &account) == nil
}

// SignInURLFor makes a one-time sign-in link for an account.
func (h *Hub) SignInURLFor(ctx context.Context, name string) (string, error) {
	if _, found := h.account(ctx, name); !found {
		return "", unknownAccount(name)
	}
	token := rand.Text()
	if err := h.store.SaveSignInToken(ctx, hashOf(token), name, h.now().Add(signInLifetime)); err != nil {
		return "", err
	}
	return h.ConsoleURL() + "/signin?token=" + token, nil
}

func unknownAccount(name string) error {
	return &lienthong.Error{
		Code: "account.unknown", Where: name, Vi: "không có tài khoản này", En: "there is no such account",
		Hint: "lienthong account add --help",
	}
}

// user is an account as the console knows people.
func (a *Account) user() console.User {
	user := console.User{Name: a.Title, Account: a.Name, Member: a.Member}
	var vi, en []string
	for _, role := range a.Roles {
		user.Roles = append(user.Roles, string(role))
		vi, en = append(vi, role.Word().Vi), append(en, role.Word().En)
	}
	user.Role = console.Text{Vi: strings.Join(vi, ", ") + " · " + string(a.Member), En: strings.Join(en, ", ") + " · " + string(a.Member)}
	return user
}

// AddAccount saves an account beside a hub that may be running, and makes its sign-in link.
func AddAccount(ctx context.Context, config *HubConfig, account Account) (string, error) {
	return beside(ctx, config, func(h *Hub) (string, error) {
		if err := h.SaveAccount(ctx, account); err != nil {
			return "", err
		}
		return h.SignInURLFor(ctx, account.Name)
	})
}

// AccountLink makes a new sign-in link for an account beside a hub that may be running.
func AccountLink(ctx context.Context, config *HubConfig, name string) (string, error) {
	return beside(ctx, config, func(h *Hub) (string, error) { return h.SignInURLFor(ctx, name) })
}

// ListAccounts lists the accounts of a hub that may be running.
func ListAccounts(ctx context.Context, config *HubConfig) ([]Account, error) {
	return beside(ctx, config, func(h *Hub) ([]Account, error) { return h.Accounts(ctx) })
}

// RemoveAccount ends an account; its name stays in the histories and is never given away again.
func RemoveAccount(ctx context.Context, config *HubConfig, name string) error {
	_, err := beside(ctx, config, func(h *Hub) (struct{}, error) {
		account, found := h.account(ctx, name)
		if !found {
			return struct{}{}, unknownAccount(name)
		}
		return struct{}{}, storeAccount(ctx, h.store, account, "removed", h.now().UnixMicro())
	})
	return err
}
