import CV05
import Estimation

@_cdecl("v05_modulation_options_initialize") @implementation
public func v05_modulation_options_initialize(
    _ options: UnsafeMutablePointer<v05_modulation_options>!, _ struct_size: Int,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        try initialize(options, struct_size, "options", to: v05_modulation_options(ModulationOptions()))
    }
}

@_cdecl("v05_advantage_modulate_f32") @implementation
public func v05_advantage_modulate_f32(
    _ options: UnsafePointer<v05_modulation_options>!, _ sequence_count: Int64, _ token_count: Int64,
    _ advantages: UnsafePointer<Float>!, _ per_token: Int32, _ entropy: UnsafePointer<Float>!,
    _ log_prob: UnsafePointer<Float>!, _ old_log_prob: UnsafePointer<Float>!, _ mask: UnsafePointer<UInt8>!,
    _ modulated: UnsafeMutablePointer<Float>!, _ statistics: UnsafeMutablePointer<v05_modulation_statistics>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    modulate(
        options, sequence_count, token_count, advantages, per_token, entropy, log_prob, old_log_prob, mask, modulated,
        statistics, error)
}

@_cdecl("v05_advantage_modulate_f64") @implementation
public func v05_advantage_modulate_f64(
    _ options: UnsafePointer<v05_modulation_options>!, _ sequence_count: Int64, _ token_count: Int64,
    _ advantages: UnsafePointer<Double>!, _ per_token: Int32, _ entropy: UnsafePointer<Double>!,
    _ log_prob: UnsafePointer<Double>!, _ old_log_prob: UnsafePointer<Double>!, _ mask: UnsafePointer<UInt8>!,
    _ modulated: UnsafeMutablePointer<Double>!, _ statistics: UnsafeMutablePointer<v05_modulation_statistics>!,
    _ error: UnsafeMutablePointer<v05_error>!
) -> v05_status {
    modulate(
        options, sequence_count, token_count, advantages, per_token, entropy, log_prob, old_log_prob, mask, modulated,
        statistics, error)
}

@inline(__always)
private func modulate<Scalar: TokenScalar>(
    _ options: UnsafePointer<v05_modulation_options>?, _ sequence_count: Int64, _ token_count: Int64,
    _ advantages: UnsafePointer<Scalar>?, _ per_token: Int32, _ entropy: UnsafePointer<Scalar>?,
    _ log_prob: UnsafePointer<Scalar>?, _ old_log_prob: UnsafePointer<Scalar>?, _ mask: UnsafePointer<UInt8>?,
    _ modulated: UnsafeMutablePointer<Scalar>?, _ statistics: UnsafeMutablePointer<v05_modulation_statistics>?,
    _ error: UnsafeMutablePointer<v05_error>?
) -> v05_status {
    reporting(to: error) { () throws(Failure) in
        let call = try CheckedModulation(
            options, sequence_count, token_count, isPerToken: per_token, elementSize: MemoryLayout<Scalar>.size,
            advantages, entropy, log_prob, old_log_prob, mask, modulated, statistics)
        guard let advantages, let entropy, let log_prob, let old_log_prob, let mask, let modulated, !call.isEmpty else {
            return call.write(ModulationStatistics())
        }
        let modulation = TokenModulation(
            options: call.choices, sequences: call.sequences, length: call.length, advantages: advantages,
            isPerToken: per_token == 1, entropy: entropy, logProbabilities: log_prob, oldLogProbabilities: old_log_prob,
            mask: mask)
        call.write(try modulation.run(to: modulated))
    }
}

/// What is checked of a call whatever the type of its numbers.
private struct CheckedModulation {
    let choices: ModulationOptions
    let sequences: Int
    let length: Int
    private let statistics: CallerStruct<v05_modulation_statistics>?

    /// No array is looked at then.
    var isEmpty: Bool { sequences == 0 || length == 0 }

    @inline(never)
    init(
        _ options: UnsafePointer<v05_modulation_options>?, _ sequence_count: Int64, _ token_count: Int64,
        isPerToken: Int32, elementSize: Int, _ advantages: UnsafeRawPointer?, _ entropy: UnsafeRawPointer?,
        _ log_prob: UnsafeRawPointer?, _ old_log_prob: UnsafeRawPointer?, _ mask: UnsafePointer<UInt8>?,
        _ modulated: UnsafeMutableRawPointer?, _ statistics: UnsafeMutablePointer<v05_modulation_statistics>?
    ) throws(Failure) {
        choices = try ModulationOptions(checking: options)
        sequences = try checkedCount(sequence_count, "sequence_count")
        length = try checkedCount(token_count, "token_count")
        self.statistics = try statistics.map { (caller) throws(Failure) in
            try CallerStruct(UnsafePointer(caller), "statistics")
        }
        guard isPerToken == 0 || isPerToken == 1 else {
            throw Failure.option("per_token must be 0 or 1", Int(isPerToken))
        }
        if isEmpty { return }
        guard let advantages else { throw Failure(.nullPointer, "advantages must not be NULL") }
        guard let entropy else { throw Failure(.nullPointer, "entropy must not be NULL") }
        guard let log_prob else { throw Failure(.nullPointer, "log_prob must not be NULL") }
        guard let old_log_prob else { throw Failure(.nullPointer, "old_log_prob must not be NULL") }
        guard let mask else { throw Failure(.nullPointer, "mask must not be NULL") }
        guard let modulated else { throw Failure(.nullPointer, "modulated must not be NULL") }
        let tokens = sequences &* length
        var memory = CallMemory()
        memory.reads(advantages, bytes: (isPerToken == 1 ? tokens : sequences) &* elementSize)
        memory.reads(entropy, bytes: tokens &* elementSize)
        memory.reads(log_prob, bytes: tokens &* elementSize)
        memory.reads(old_log_prob, bytes: tokens &* elementSize)
        memory.reads(mask, tokens)
        try self.statistics?.claim(in: &memory, "statistics")
        try memory.writes(modulated, bytes: tokens &* elementSize, "modulated")
    }

    @inline(never)
    func write(_ found: ModulationStatistics) { statistics?.write(v05_modulation_statistics(found)) }
}

extension v05_modulation_options {
    fileprivate init(_ options: ModulationOptions) {
        self.init()
        alpha = options.alpha
        floor = options.floor
        steepness = options.steepness
        threshold = options.threshold
        clip_low = options.clipLow
        clip_high = options.clipHigh
    }
}

extension ModulationOptions {
    fileprivate init(checking caller: UnsafePointer<v05_modulation_options>?) throws(Failure) {
        self.init()
        guard let caller else { return }
        var options = v05_modulation_options(self)
        try CallerStruct(caller, "options").read(over: &options)
        alpha = options.alpha
        floor = options.floor
        steepness = options.steepness
        threshold = options.threshold
        clipLow = options.clip_low
        clipHigh = options.clip_high
        try check()
    }
}

extension v05_modulation_statistics {
    fileprivate init(_ found: ModulationStatistics) {
        self.init()
        token_count = found.tokenCount
        clipped = found.clippedShare
        compensation = found.meanCompensation
        stabilization = found.meanStabilization
        largest_change = found.largestChange
        (smallest_entropy, largest_entropy) = found.entropyRange
    }
}
