package app

import (
	"math"
	"time"
)

// lagHistogram counts lags in classes that grow by 5 %, from 0.1 ms to a month.
type lagHistogram struct {
	counts [lagClasses]uint32
	total  uint64
}

const (
	lagClasses = 460
	lagStep    = 1.05
	lagFirst   = 100 // microseconds
)

func (h *lagHistogram) add(micros int64) {
	class := 0
	if micros > lagFirst {
		class = min(int(math.Log(float64(micros)/lagFirst)/math.Log(lagStep))+1, lagClasses-1)
	}
	h.counts[class]++
	h.total++
}

func (h *lagHistogram) merge(o *lagHistogram) {
	for i := range o.counts {
		h.counts[i] += o.counts[i]
	}
	h.total += o.total
}

// quantile is the upper end of the class in which the quantile lies.
func (h *lagHistogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(h.total)))
	var seen uint64
	for i, n := range h.counts {
		seen += uint64(n)
		if seen >= rank {
			return time.Duration(lagFirst*math.Pow(lagStep, float64(i))) * time.Microsecond
		}
	}
	return 0
}
