/// The bytes of a tracker: options, what was learnt of all prompts, and 40 bytes a key in the order of recording.
extension Tracker {
    private static var headSize: Int {
        64 &+ TrackerRegression.savedSize &+ TrackerStrengths.savedSize &+ TrackerErrors.savedSize
    }

    /// Bytes of `write`.
    public var savedSize: Int { Tracker.headSize &+ 40 &* table.count }

    public func write(to writer: inout CheckpointWriter) {
        writer.write(options.interval.low)
        writer.write(options.interval.high)
        writer.write(options.discount)
        writer.write(options.slowDiscount)
        writer.write(options.forgetting)
        writer.write(UInt64(truncatingIfNeeded: options.capacity))
        writer.write(batches.level)
        writer.write(batches.meanWeight)
        regression.write(to: &writer)
        strengths.write(to: &writer)
        errors.write(to: &writer)
        var entry = table.oldest
        while entry >= 0 {
            let found = table[entry]
            writer.write(found.key)
            writer.write(found.successes)
            writer.write(found.strength)
            writer.write(found.slowSuccesses)
            writer.write(found.slowStrength)
            entry = table.newer(than: entry)
        }
    }

    public init(from reader: inout CheckpointReader) throws(Failure) {
        var options = Options()
        options.interval = try reader.readInterval()
        options.discount = reader.readDouble()
        options.slowDiscount = reader.readDouble()
        options.forgetting = reader.readDouble()
        options.capacity = Int(truncatingIfNeeded: reader.read(UInt64.self))
        try options.check()
        self.init(options: options)
        batches.level = reader.readDouble()
        batches.meanWeight = reader.readDouble()
        try batches.check()
        regression = try TrackerRegression(from: &reader)
        strengths = try TrackerStrengths(from: &reader)
        errors = try TrackerErrors(from: &reader)
        do throws(Failure) {
            try table.reserve(reader.remaining / 40)
            while reader.remaining >= 40 { try readEntry(&reader) }
            try reader.finish()
            guard table.count == 0 || !batches.level.isNaN else {
                throw Failure(.checkpointCorrupted, "checkpoint must hold a level where it holds keys")
            }
        } catch {
            release()
            throw error
        }
    }

    private mutating func readEntry(_ reader: inout CheckpointReader) throws(Failure) {
        let entry = HistoryTable.Entry(
            key: reader.read(UInt64.self), successes: reader.readDouble(), strength: reader.readDouble(), step: 0,
            slowSuccesses: reader.readDouble(), slowStrength: reader.readDouble())
        guard
            Tracker.isPossible(entry.successes, entry.strength)
                && Tracker.isPossible(entry.slowSuccesses, entry.slowStrength) && table.insert(entry) >= 0
        else { throw Failure(.checkpointCorrupted, "checkpoint must hold each key once, with finite sums") }
    }

    private static func isPossible(_ successes: Double, _ strength: Double) -> Bool {
        strength >= 0 && strength <= largestStrength && successes >= 0
            && successes <= strength * (1 + 1e-9)
    }
}
