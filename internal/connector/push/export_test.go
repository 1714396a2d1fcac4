package push

import (
	"runtime"
	"slices"
)

// WaitForQueue returns when so many jobs wait for the writer.
func (s *Source) WaitForQueue(jobs int) {
	for len(s.jobs) < jobs {
		runtime.Gosched()
	}
}

// RoutesForTest are the routes that Handler serves.
func RoutesForTest() []string {
	var made []string
	for _, route := range routes() {
		made = append(made, route.method+" "+route.path)
	}
	slices.Sort(made)
	return made
}
