//go:build !linux

package postgres

func setLowWater(uintptr, int) {}
