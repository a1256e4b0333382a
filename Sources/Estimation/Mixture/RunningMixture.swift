/// The mixture of a training run so far: calibration and expected counts, older batches discounted in both.
public struct RunningMixture: Sendable {
    public private(set) var moments: RunningCalibration
    /// Expected number of groups of each component.
    public private(set) var counts = MixtureNumbers()

    public init(_ moments: RunningCalibration) { self.moments = moments }

    /// Refuses counts that no batch can have produced.
    public init(_ moments: RunningCalibration, counts: MixtureNumbers) throws(Failure) {
        self.moments = moments
        self.counts = counts
        if !counts.areCounts(upTo: moments.grand.groups * (1 + 1e-6)) {
            throw Failure(.invalidCalibration, "running must hold counts between 0 and its number of groups")
        }
    }

    public var mixture: Mixture { Mixture(calibration: moments.calibration, counts: counts) }

    /// Adds a batch: what the discounted counts of earlier ones say is the start, and counts along.
    public mutating func update(_ batch: Batch, workspace: inout Workspace) throws(Failure) {
        let summary = try BatchSummary(fitting: batch, for: .mixture, moments.interval, workspace: &workspace)
        let calibrationFit = try CalibrationFit(summary, workspace: &workspace)
        let mixtureFit = try MixtureFit(summary, workspace: &workspace)
        var updated = moments
        updated.merge(calibrationFit.moments)
        updated = try updated.checked()
        var earlier = counts
        earlier.multiply(by: moments.discount)
        self = try RunningMixture(updated, counts: mixtureFit.counts(updated.calibration, earlier: earlier))
    }

    /// Bytes of `write`.
    public static let savedSize: Int = RunningCalibration.savedSize &+ MixtureNumbers.savedSize

    public func write(to writer: inout CheckpointWriter) {
        writer.write(counts)
        moments.write(to: &writer)
    }

    public init(from reader: inout CheckpointReader) throws(Failure) {
        let counts = reader.readMixtureNumbers()
        try self.init(try RunningCalibration(from: &reader), counts: counts)
    }
}
