/// CRC-32 (IEEE 802.3, as zlib's crc32) of the bytes of a checkpoint.
struct Checksum {
    private var remainder: UInt32 = ~0
    /// Row r: what a byte does to the remainder when r more bytes follow it, so that eight bytes go at once (slicing,
    /// Kounavis and Berry 2005).
    private let table: InlineArray<2048, UInt32>

    init() {
        var table = InlineArray<2048, UInt32>(repeating: 0)
        var byte = 0
        while byte < 256 {
            var entry = UInt32(truncatingIfNeeded: byte)
            var bit = 0
            while bit < 8 {
                entry = entry & 1 == 1 ? (entry &>> 1) ^ 0xEDB8_8320 : entry &>> 1
                bit &+= 1
            }
            table[unchecked: byte] = entry
            byte &+= 1
        }
        while byte < 2048 {
            let before = table[unchecked: byte &- 256]
            table[unchecked: byte] = table[unchecked: Int(truncatingIfNeeded: before & 255)] ^ (before &>> 8)
            byte &+= 1
        }
        self.table = table
    }

    mutating func add(_ byte: UInt8) {
        remainder =
            entry(0, UInt64(truncatingIfNeeded: remainder ^ UInt32(truncatingIfNeeded: byte))) ^ (remainder &>> 8)
    }

    @_optimize(speed)
    mutating func add(_ bytes: UnsafePointer<UInt8>, count: Int) {
        var index = 0
        while index &+ 8 <= count {
            let eight = UnsafeRawPointer(bytes + index).loadUnaligned(as: UInt64.self).littleEndian
            let mixed = eight ^ UInt64(truncatingIfNeeded: remainder)
            let first = entry(7, mixed) ^ entry(6, mixed &>> 8) ^ entry(5, mixed &>> 16) ^ entry(4, mixed &>> 24)
            let second = entry(3, mixed &>> 32) ^ entry(2, mixed &>> 40) ^ entry(1, mixed &>> 48)
            remainder = first ^ second ^ entry(0, mixed &>> 56)
            index &+= 8
        }
        while index < count {
            add(bytes[index])
            index &+= 1
        }
    }

    @inline(__always)
    private func entry(_ row: Int, _ byte: UInt64) -> UInt32 {
        table[unchecked: 256 &* row &+ Int(truncatingIfNeeded: byte & 255)]
    }

    var value: UInt32 { ~remainder }
}
