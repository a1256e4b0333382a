import CLibrary
import Estimation

extension SequentialAllocator {
    /// Builds the allocator anew from its options and what it had observed, which checks all of it on the way.
    public init(from reader: inout CheckpointReader, workspace: inout Workspace) throws(Failure) {
        let damaged = Failure(.checkpointCorrupted, "checkpoint must hold a possible state of an allocator")
        var options = Options()
        guard let rule = AllocationRule(rawValue: Int32(bitPattern: reader.read(UInt32.self))),
            let lookAhead = LookAhead(rawValue: Int32(bitPattern: reader.read(UInt32.self)))
        else { throw damaged }
        options.rule = rule
        options.lookAhead = lookAhead
        options.interval = try reader.readInterval()
        options.initial = Int(truncatingIfNeeded: reader.read(UInt64.self))
        options.maximum = Int(truncatingIfNeeded: reader.read(UInt64.self))
        options.wave = Int(truncatingIfNeeded: reader.read(UInt64.self))
        options.cost = reader.readDouble()
        options.budget = Int(truncatingIfNeeded: reader.read(UInt64.self))
        // 1: a calibration; 2: a mixture, whose weights come last.
        let model = reader.read(UInt64.self)
        let calibration = Calibration(
            intercept: reader.readDouble(), slope: reader.readDouble(), priorVariance: reader.readDouble(),
            rewardVariance: reader.readDouble(), grandMean: reader.readDouble(), betweenVariance: reader.readDouble(),
            groups: reader.readDouble(), totalGroups: reader.readDouble())
        try calibration.check()
        let wasStopped = reader.read(UInt64.self) == 1
        let promptCount = Int(truncatingIfNeeded: reader.read(UInt64.self))
        let observationCount = Int(truncatingIfNeeded: reader.read(UInt64.self))
        guard promptCount >= 0 && promptCount <= largestRowCount && observationCount >= 0
            && observationCount <= largestRowCount
            && reader.remaining == 20 &* promptCount &+ 12 &* observationCount &+ (model == 2 ? MixtureNumbers.savedSize : 0)
        else { throw damaged }

        let priors = try workspace.take(Double.self, count: promptCount)
        let floors = try workspace.take(Int64.self, count: promptCount)
        let ceilings = try workspace.take(Int64.self, count: promptCount)
        let inFlight = try workspace.take(Int64.self, count: promptCount)
        let indices = try workspace.take(Int64.self, count: observationCount)
        let rewards = try workspace.take(Double.self, count: observationCount)
        var prompt = 0
        while prompt < promptCount {
            priors[prompt] = reader.readDouble()
            floors[prompt] = Int64(reader.read(UInt32.self))
            ceilings[prompt] = Int64(reader.read(UInt32.self))
            inFlight[prompt] = Int64(reader.read(UInt32.self))
            prompt &+= 1
        }
        var row = 0
        while row < observationCount {
            indices[row] = Int64(reader.read(UInt32.self))
            rewards[row] = reader.readDouble()
            row &+= 1
        }
        var mixture = Mixture.empty
        mixture.calibration = calibration
        if model == 2 {
            mixture.weights = reader.readMixtureNumbers()
            try mixture.check()
        }
        try reader.finish()
        self = try withUnsafePointer(to: mixture) { (mixture) throws(Failure) in
            try SequentialAllocator(
                options: options, calibration: model == 1 ? calibration : nil, mixture: model == 2 ? mixture : nil,
                count: promptCount, priors: priors, floors: floors, ceilings: ceilings)
        }
        do {
            try restore(inFlight: inFlight, indices, rewards, count: observationCount)
        } catch {
            release()
            throw error
        }
        if wasStopped { stop() }
    }
}
