/// What the same prompts did before: the best prior there is once a prompt has been seen (method section 9).
///
/// At each visit of a prompt with k rewards r:  a <- decay a + sum (r - lo) / (hi - lo),  n <- decay n + k, with
/// decay = discount * stepDecay^(steps since the visit before). The prior value is lo + (hi - lo) (a + n0 g) / (n + n0),
/// its strength n + n0, with a and n decayed to the step that asks, where g is the level of the batches recorded so far
/// and n0 how many rewards it is worth; a prompt never seen has the level itself (section 15).
public struct History {
    public struct Options: Sendable {
        public var interval = Interval(low: 0, high: 1)
        /// Factor on what is known at each visit, in 0...1.
        public var discount = 0.8
        /// Factor per step, in 0...1; 1: time does not matter.
        public var stepDecay = 1.0
        /// Prompts kept, those recorded longest ago go first; 0: all.
        public var capacity = 0
        /// n0: rewards that the level of the batches is worth as a start value; 0: no start value.
        public var startStrength = 1.0

        public init() {}

        public func check() throws(Failure) {
            guard discount >= 0 && discount <= 1 else {
                throw Failure(.invalidOption, "discount must lie in [0, 1]", real: discount)
            }
            guard stepDecay >= 0 && stepDecay <= 1 else {
                throw Failure(.invalidOption, "step_decay must lie in [0, 1]", real: stepDecay)
            }
            guard capacity >= 0 else {
                throw Failure(.invalidOption, "capacity must be at least 1, or 0 for no limit", integer: capacity)
            }
            guard startStrength >= 0 && startStrength <= largestReward else {
                throw Failure(.invalidOption, "start_strength must be finite and not negative", real: startStrength)
            }
        }
    }

    public let options: Options
    private var table = HistoryTable()
    private var batches = BatchLevel()
    public var count: Int { table.count }

    public init(options: Options) { self.options = options }

    public func release() { table.release() }

    /// Steps are kept in 32 bits.
    public static func checkedStep(_ step: Int64) throws(Failure) -> Int32 {
        guard step >= 0, let checked = Int32(exactly: step) else {
            throw Failure(.invalidOption, "step must lie in 0 to 2147483647", integer: Int(step))
        }
        return checked
    }

    /// Value and strength of a key; NaN and 0 where nothing is known, neither of it nor of any batch.
    public func predict(_ key: Int64, step: Int32) -> (value: Double, strength: Double) {
        let entry = table.find(UInt64(bitPattern: key))
        var found = entry < 0 ? HistoryTable.Entry(key: 0, successes: 0, strength: 0, step: step) : table[entry]
        let left = decay(from: found.step, to: step)
        var strength = found.strength * left
        if options.startStrength > 0 && !batches.level.isNaN && !found.hasStart {
            strength += options.startStrength
            found.successes = found.successes * left + options.startStrength * batches.level
            found.strength = strength
        }
        if found.strength <= 0 { return (.nan, 0) }
        let interval = options.interval
        let value = interval.clamp(interval.low + (interval.high - interval.low) * (found.successes / found.strength))
        return (value, strength)
    }

    /// The same of many keys, at least one.
    @_optimize(speed)
    public func predict(
        _ keys: UnsafePointer<Int64>, count: Int, step: Int32, values: UnsafeMutablePointer<Double>?,
        strengths: UnsafeMutablePointer<Double>?
    ) {
        var found = predict(keys[0], step: step)
        var index = 0
        while index < count {
            // The rollouts of a prompt mostly lie side by side.
            if index &+ 24 < count {
                if keys[index &+ 24] != keys[index &+ 23] {
                    table.prefetchPlace(of: UInt64(bitPattern: keys[index &+ 24]))
                }
                if keys[index &+ 12] != keys[index &+ 11] {
                    table.prefetchEntry(of: UInt64(bitPattern: keys[index &+ 12]))
                }
            }
            if index > 0 && keys[index] != keys[index &- 1] { found = predict(keys[index], step: step) }
            values?[index] = found.value
            strengths?[index] = found.strength
            index &+= 1
        }
    }

    /// stepDecay^(steps between), by repeated squaring; 1 where time goes backwards.
    private func decay(from old: Int32, to new: Int32) -> Double {
        var steps = Int(new) &- Int(old)
        var factor = options.stepDecay
        var result = 1.0
        while steps > 0 && result > 0 {
            if steps & 1 == 1 { result *= factor }
            factor *= factor
            steps &>>= 1
        }
        return result
    }

    /// Records one visit of every key of the batch (ids are keys, priors are not looked at). All or nothing.
    public mutating func record(
        _ batch: Batch, step: Int32, workspace: inout Workspace
    ) throws(Failure) {
        var estimation = EstimationOptions()
        estimation.rule = .v05
        estimation.interval = options.interval
        let summary = try BatchSummary(
            try batch.checkingWeights(), options: estimation, needsSquares: false, workspace: &workspace)
        guard
            let visits = try BatchVisits(
                summary, hasWeights: batch.weights != nil, in: &table, &batches, workspace: &workspace)
        else { return }
        var group = 0
        while group < summary.grouping.groupCount {
            if group &+ 24 < summary.grouping.groupCount {
                table.prefetchPlace(of: UInt64(bitPattern: summary.key(of: group &+ 24)))
                table.prefetchSums(visits.places[group &+ 12])
                table.prefetchLinks(visits.places[group &+ 24])
                table.prefetchNeighbours(visits.places[group &+ 12])
            }
            if summary.groups[group].count > 0 {
                add(
                    HistoryTable.Entry(
                        key: UInt64(bitPattern: summary.key(of: group)), successes: visits.successes[group],
                        strength: visits.counts[group], step: step),
                    at: visits.places[group], discount: options.discount)
            }
            group &+= 1
        }
        batches.learnLevel(successes: visits.totalSuccesses, count: visits.totalCount)
        table.trim(to: options.capacity)
    }

    /// Gives keys that were never recorded a value and a strength to start from. Others keep theirs.
    public mutating func start(
        _ keys: UnsafePointer<Int64>, values: UnsafePointer<Double>, strengths: UnsafePointer<Double>, count: Int,
        step: Int32
    ) throws(Failure) {
        var index = 0
        while index < count {
            if !values[index].isNaN && !options.interval.contains(values[index]) {
                throw Failure(
                    .invalidPrior, "values[#] must be NaN or lie in reward_range",
                    at: index, real: values[index], in: options.interval)
            }
            if !(strengths[index] >= 0 && strengths[index] <= largestReward) {
                throw Failure(
                    .invalidPrior, "strengths[#] must be finite and not negative", at: index, real: strengths[index])
            }
            index &+= 1
        }
        var unseen = 0
        index = 0
        while index < count {
            if table.find(UInt64(bitPattern: keys[index])) < 0 { unseen &+= 1 }
            index &+= 1
        }
        try table.reserve(unseen)
        index = 0
        while index < count {
            let key = UInt64(bitPattern: keys[index])
            if !values[index].isNaN && strengths[index] > 0 && table.find(key) < 0 {
                _ = table.insert(
                    .init(
                        key: key, successes: strengths[index] * options.interval.probability(of: values[index]),
                        strength: strengths[index], step: step, hasStart: true))
            }
            index &+= 1
        }
        table.trim(to: options.capacity)
    }

    /// Adds what another history knows, as if its visits had been counted here: sums of both where both know a key. The
    /// interval of the other lies in this one's; its sums are those of the same rewards in this one's units.
    public mutating func merge(_ other: History) throws(Failure) {
        let units = try IntervalUnits(from: other.options.interval, to: options.interval)
        try table.reserve(for: other.table)
        batches.merge(other.batches, units: units)
        var entry = other.table.oldest
        while entry >= 0 {
            var visit = other.table[entry]
            visit.successes = units.sum(visit.successes, count: visit.strength)
            add(visit, at: table.find(visit.key), discount: 1)
            entry = other.table.newer(than: entry)
        }
        table.trim(to: options.capacity)
    }

    /// - Parameter entry: where the table has the key, or -1.
    @inline(never)
    private mutating func add(_ visit: HistoryTable.Entry, at entry: Int32, discount: Double) {
        if entry < 0 {
            _ = table.insert(visit)
            return
        }
        var known = table[entry]
        let forward = discount * decay(from: known.step, to: visit.step)
        let backward = decay(from: visit.step, to: known.step)
        known.successes = forward * known.successes + backward * visit.successes
        known.strength = forward * known.strength + backward * visit.strength
        known.step = max(known.step, visit.step)
        known.hasStart = known.hasStart || visit.hasStart
        table[entry] = known
        table.makeNewest(entry)
    }

    /// Bytes of `write`.
    public var savedSize: Int { 64 &+ 32 &* table.count }

    public func write(to writer: inout CheckpointWriter) {
        writer.write(options.interval.low)
        writer.write(options.interval.high)
        writer.write(options.discount)
        writer.write(options.stepDecay)
        writer.write(UInt64(truncatingIfNeeded: options.capacity))
        writer.write(options.startStrength)
        writer.write(batches.level)
        writer.write(batches.meanWeight)
        var entry = table.oldest
        while entry >= 0 {
            let found = table[entry]
            writer.write(found.key)
            writer.write(found.successes)
            writer.write(found.strength)
            writer.write(UInt64(truncatingIfNeeded: Int(found.step)) | (found.hasStart ? History.startMark : 0))
            entry = table.newer(than: entry)
        }
    }

    public init(from reader: inout CheckpointReader) throws(Failure) {
        var options = Options()
        options.interval = try reader.readInterval()
        options.discount = reader.readDouble()
        options.stepDecay = reader.readDouble()
        options.capacity = Int(truncatingIfNeeded: reader.read(UInt64.self))
        // The first format has no start value, and goes on without one.
        options.startStrength = reader.version == 1 ? 0 : reader.readDouble()
        try options.check()
        self.init(options: options)
        if reader.version > 1 {
            batches.level = reader.readDouble()
            batches.meanWeight = reader.readDouble()
            try batches.check()
        }
        do {
            try table.reserve(reader.remaining / 32)
            while reader.remaining >= 32 { try readEntry(&reader) }
            try reader.finish()
        } catch {
            release()
            throw error
        }
    }

    /// Above the step of an entry with a start of its own.
    private static var startMark: UInt64 { 1 << 32 }

    private mutating func readEntry(_ reader: inout CheckpointReader) throws(Failure) {
        table.prefetchPlace(of: reader.peek(UInt64.self, behind: 48 &* 32))
        table.prefetchKey(of: reader.peek(UInt64.self, behind: 16 &* 32))
        let step = reader.peek(UInt64.self, behind: 24)
        let entry = HistoryTable.Entry(
            key: reader.peek(UInt64.self, behind: 0),
            successes: Double(bitPattern: reader.peek(UInt64.self, behind: 8)),
            strength: Double(bitPattern: reader.peek(UInt64.self, behind: 16)),
            step: Int32(truncatingIfNeeded: step), hasStart: reader.version > 1 && step & History.startMark != 0)
        reader.skip(32)
        guard
            entry.strength >= 0 && entry.strength <= largestStrength && entry.successes >= 0
                && entry.successes <= entry.strength * (1 + 1e-9) && entry.step >= 0 && table.insert(entry) >= 0
        else { throw Failure(.checkpointCorrupted, "checkpoint must hold each key once, with finite sums") }
    }
}
