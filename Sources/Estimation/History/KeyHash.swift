/// A 64-bit key for a prompt's text or name: FNV-1a, mixed once more. The same on every machine and for ever.
public func keyHash(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    var index = 0
    while index < count {
        hash = (hash ^ UInt64(truncatingIfNeeded: bytes[index])) &* 0x0000_0100_0000_01B3
        index &+= 1
    }
    hash = (hash ^ (hash &>> 33)) &* 0xFF51_AFD7_ED55_8CCD
    return Int64(bitPattern: hash ^ (hash &>> 33))
}
