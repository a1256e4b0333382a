/// CRC-32 (IEEE 802.3, as zlib's crc32) of the bytes of a checkpoint.
struct Checksum {
    private var remainder: UInt32 = ~0
    /// Row r: what a byte does to the remainder when r more bytes follow it, so that four bytes go at once (slicing,
    /// Kounavis and Berry 2005). Eight would take twice the room on a stack that may be small.
    private var table = InlineArray<1024, UInt32>(repeating: 0)

    init() {
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
        while byte < 1024 {
            let before = table[unchecked: byte &- 256]
            table[unchecked: byte] = table[unchecked: Int(truncatingIfNeeded: before & 255)] ^ (before &>> 8)
            byte &+= 1
        }
    }

    mutating func add(_ byte: UInt8) {
        remainder =
            entry(0, UInt64(truncatingIfNeeded: remainder ^ UInt32(truncatingIfNeeded: byte))) ^ (remainder &>> 8)
    }

    @_optimize(speed)
    mutating func add(_ bytes: UnsafePointer<UInt8>, count: Int) {
        var index = 0
        while index &+ 4 <= count {
            let four = UnsafeRawPointer(bytes + index).loadUnaligned(as: UInt32.self).littleEndian
            let mixed = UInt64(truncatingIfNeeded: four ^ remainder)
            remainder = entry(3, mixed) ^ entry(2, mixed &>> 8) ^ entry(1, mixed &>> 16) ^ entry(0, mixed &>> 24)
            index &+= 4
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
