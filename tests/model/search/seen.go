package search

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Hash is 128 bits of a state's bytes. Two different states of one run of 10^8 have the same with a probability of
// about 10^16 / 2^129, below 10^-22: as good as never would a state be missed.
type Hash [2]uint64

// hash mixes eight bytes at a time into two lanes by 64 x 64 bit multiplications.
func hash(b []byte) Hash {
	x, y := uint64(0x9e3779b97f4a7c15)^uint64(len(b)), uint64(0xd1b54a32d192ed03)
	var last [8]byte
	for len(b) > 0 {
		if len(b) < 8 {
			copy(last[:], b)
			b = last[:]
		}
		word := binary.LittleEndian.Uint64(b)
		x = fold(x^word, 0xa0761d6478bd642f) + y
		y = fold(y+bits.RotateLeft64(word, 31), 0xe7037ed1a0b428db) ^ bits.RotateLeft64(x, 17)
		b = b[8:]
	}
	return Hash{fold(x, 0x8ebc6af09c88c6e3) ^ y, fold(y, 0x589965cc75374cc3) + x}
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low + bits.RotateLeft64(a, 23)
}

const shards = 256

// Seen is the set of hashes of all states found: open addressing in shards, so that several workers can add at once.
type Seen [shards]struct {
	sync.Mutex
	count int
	table []Hash
}

// add says whether h was not there yet.
func (s *Seen) add(h Hash) bool {
	if h == (Hash{}) {
		h[0] = 1
	}
	shard := &s[h[1]>>56]
	shard.Lock()
	defer shard.Unlock()
	if 4*shard.count >= 3*len(shard.table) {
		old := shard.table
		shard.table = make([]Hash, max(64, 2*len(old)))
		for _, each := range old {
			if each != (Hash{}) {
				insert(shard.table, each)
			}
		}
	}
	if !insert(shard.table, h) {
		return false
	}
	shard.count++
	return true
}

func insert(table []Hash, h Hash) bool {
	mask := uint64(len(table) - 1)
	for k := h[0] & mask; ; k = (k + 1) & mask {
		switch table[k] {
		case h:
			return false
		case Hash{}:
			table[k] = h
			return true
		}
	}
}

func (s *Seen) len() (count int) {
	for i := range s {
		count += s[i].count
	}
	return count
}
