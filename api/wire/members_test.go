package wire_test

import (
	"math"
	"testing"

	"balsa/api/wire"
)

func TestPercentOfASnapshot(t *testing.T) {
	for _, test := range []struct {
		bytes, size uint64
		want        int
	}{
		{0, 0, 0}, {7, 0, 0}, {0, 10, 0}, {43, 100, 43}, {999, 1000, 99}, {10, 10, 100}, {11, 10, 100}, // the size is an estimate
		{math.MaxUint64 - 1, math.MaxUint64, 100}, {math.MaxUint64 / 2, math.MaxUint64, 50},
	} {
		if got := (wire.SnapshotProgress{Bytes: test.bytes, Size: test.size}).Percent(); got != test.want {
			t.Errorf("%d of %d: %d %%, want %d", test.bytes, test.size, got, test.want)
		}
	}
}
