/// A 64-bit key for a prompt's text or name: FNV-1a, mixed once more. The same on every machine and for ever.
public func keyHash(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int64 {
    var text = HashedText(bytes, count)
    text.advance(count)
    return text.key
}

/// The keys of `count` texts that lie one after the other: text i is bytes[offsets[i]] to bytes[offsets[i + 1]], of
/// offsets that never fall.
///
/// A step of the hash waits for the product of the one before, so four texts go side by side; where one ends, the next
/// one takes its place.
@_optimize(speed)
public func keyHashes(
    _ bytes: UnsafePointer<UInt8>, offsets: UnsafePointer<Int64>, count: Int, keys: UnsafeMutablePointer<Int64>
) {
    let none = HashedText(bytes, 0)
    var four = (none, none, none, none)
    withUnsafeMutablePointer(to: &four) { whole in
        let texts = UnsafeMutableRawPointer(whole).assumingMemoryBound(to: HashedText.self)
        var next = 0
        while next < count {
            var lane = 0
            while lane < 4 {
                while texts[lane].remaining == 0 && next < count {
                    texts[lane].finish(keys)
                    let start = Int(offsets[next])
                    texts[lane] = HashedText(bytes + start, Int(offsets[next &+ 1]) &- start)
                    texts[lane].index = next
                    next &+= 1
                }
                lane &+= 1
            }
            advanceTogether(texts)
        }
        var lane = 0
        while lane < 4 {
            texts[lane].finish(keys)
            lane &+= 1
        }
    }
}

/// Moves four texts on, as far as the first of them ends.
@inline(never)
@_optimize(speed)
private func advanceTogether(_ texts: UnsafeMutablePointer<HashedText>) {
    let steps = min(
        min(texts[0].remaining, texts[1].remaining), min(texts[2].remaining, texts[3].remaining))
    let starts = (texts[0].start, texts[1].start, texts[2].start, texts[3].start)
    var hashes = (texts[0].hash, texts[1].hash, texts[2].hash, texts[3].hash)
    var step = 0
    while step < steps {
        hashes.0 = HashedText.mixed(hashes.0, starts.0[step])
        hashes.1 = HashedText.mixed(hashes.1, starts.1[step])
        hashes.2 = HashedText.mixed(hashes.2, starts.2[step])
        hashes.3 = HashedText.mixed(hashes.3, starts.3[step])
        step &+= 1
    }
    texts[0].move(steps, to: hashes.0)
    texts[1].move(steps, to: hashes.1)
    texts[2].move(steps, to: hashes.2)
    texts[3].move(steps, to: hashes.3)
}

/// A text on its way through the hash.
private struct HashedText {
    var start: UnsafePointer<UInt8>
    var remaining: Int
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    /// Which text it is; -1: none.
    var index = -1

    init(_ start: UnsafePointer<UInt8>, _ remaining: Int) {
        self.start = start
        self.remaining = remaining
    }

    @inline(__always)
    static func mixed(_ hash: UInt64, _ byte: UInt8) -> UInt64 {
        (hash ^ UInt64(truncatingIfNeeded: byte)) &* 0x0000_0100_0000_01B3
    }

    @inline(__always)
    mutating func move(_ steps: Int, to hash: UInt64) {
        self.hash = hash
        start += steps
        remaining &-= steps
    }

    mutating func advance(_ steps: Int) {
        var hash = hash
        var step = 0
        while step < steps {
            hash = HashedText.mixed(hash, start[step])
            step &+= 1
        }
        move(steps, to: hash)
    }

    /// Goes to the end and writes the key; of no text nothing.
    @inline(never)
    mutating func finish(_ keys: UnsafeMutablePointer<Int64>) {
        if index < 0 { return }
        advance(remaining)
        keys[index] = key
    }

    var key: Int64 {
        let once = (hash ^ (hash &>> 33)) &* 0xFF51_AFD7_ED55_8CCD
        return Int64(bitPattern: once ^ (once &>> 33))
    }
}
