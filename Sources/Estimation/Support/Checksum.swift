/// CRC-32 (IEEE 802.3, as zlib's crc32) of the bytes of a checkpoint.
struct Checksum {
    private var remainder: UInt32 = ~0
    private let table: InlineArray<256, UInt32>

    init() {
        var table = InlineArray<256, UInt32>(repeating: 0)
        var byte: UInt32 = 0
        while byte < 256 {
            var entry = byte
            var bit = 0
            while bit < 8 {
                entry = entry & 1 == 1 ? (entry &>> 1) ^ 0xEDB8_8320 : entry &>> 1
                bit &+= 1
            }
            table[unchecked: Int(truncatingIfNeeded: byte)] = entry
            byte &+= 1
        }
        self.table = table
    }

    mutating func add(_ byte: UInt8) {
        let index = Int(truncatingIfNeeded: (remainder ^ UInt32(truncatingIfNeeded: byte)) & 255)
        remainder = table[unchecked: index] ^ (remainder &>> 8)
    }

    var value: UInt32 { ~remainder }
}
