import Estimation

extension SequentialAllocator {
    public var savedSize: Int {
        160 &+ 20 &* promptCount &+ (isWeighted ? 20 : 12) &* log.count
            &+ (mixture == nil ? 0 : MixtureNumbers.savedSize)
    }

    public func write(to writer: inout CheckpointWriter) {
        writer.write(UInt32(bitPattern: options.rule.rawValue))
        writer.write(UInt32(bitPattern: options.lookAhead.rawValue))
        writer.write(options.interval.low)
        writer.write(options.interval.high)
        writer.write(UInt64(truncatingIfNeeded: options.initial))
        writer.write(UInt64(truncatingIfNeeded: options.maximum))
        writer.write(UInt64(truncatingIfNeeded: options.wave))
        writer.write(options.cost)
        writer.write(UInt64(bitPattern: Int64(truncatingIfNeeded: options.budget)))
        writer.write(UInt64(calibration == nil ? 0 : (mixture == nil ? 1 : 2)) + (isWeighted ? 4 : 0))
        let fit = calibration ?? .empty
        writer.write(fit.intercept)
        writer.write(fit.slope)
        writer.write(fit.priorVariance)
        writer.write(fit.rewardVariance)
        writer.write(fit.grandMean)
        writer.write(fit.betweenVariance)
        writer.write(fit.groups)
        writer.write(fit.totalGroups)
        writer.write(UInt64(isStopped ? 1 : 0))
        writer.write(UInt64(truncatingIfNeeded: promptCount))
        writer.write(UInt64(truncatingIfNeeded: log.count))
        var prompt = 0
        while prompt < promptCount {
            writer.write(prompts[prompt].prior)
            writer.write(UInt32(bitPattern: prompts[prompt].initial))
            writer.write(UInt32(bitPattern: prompts[prompt].maximum))
            writer.write(UInt32(bitPattern: prompts[prompt].inFlight))
            prompt &+= 1
        }
        var row = 0
        while row < log.count {
            let (prompt, reward) = log[row]
            writer.write(UInt32(truncatingIfNeeded: prompt))
            writer.write(reward)
            row &+= 1
        }
        if let mixture { writer.write(mixture.pointee.weights) }
        row = 0
        while isWeighted && row < log.count {
            writer.write(weight(row))
            row &+= 1
        }
    }

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
        // 1: a calibration; 2: a mixture, whose weights come last. 4 more: weights of the observations come behind all.
        let kind = reader.read(UInt64.self)
        let hasWeights = kind & 4 != 0
        let model = kind & ~4
        let calibration = Calibration(
            intercept: reader.readDouble(), slope: reader.readDouble(), priorVariance: reader.readDouble(),
            rewardVariance: reader.readDouble(), grandMean: reader.readDouble(), betweenVariance: reader.readDouble(),
            groups: reader.readDouble(), totalGroups: reader.readDouble())
        try calibration.check()
        let stopped = reader.read(UInt64.self)
        let promptCount = Int(truncatingIfNeeded: reader.read(UInt64.self))
        let observationCount = Int(truncatingIfNeeded: reader.read(UInt64.self))
        guard
            model <= 2 && stopped <= 1 && promptCount >= 0 && promptCount <= largestRowCount && observationCount >= 0
                && observationCount <= largestRowCount
                && reader.remaining == 20 &* promptCount &+ (hasWeights ? 20 : 12) &* observationCount
                    &+ (model == 2 ? MixtureNumbers.savedSize : 0)
        else { throw damaged }

        let priors = try workspace.take(Double.self, count: promptCount)
        let initials = try workspace.take(Int64.self, count: promptCount)
        let maxima = try workspace.take(Int64.self, count: promptCount)
        let inFlight = try workspace.take(Int64.self, count: promptCount)
        let indices = try workspace.take(Int64.self, count: observationCount)
        let rewards = try workspace.take(Double.self, count: observationCount)
        var prompt = 0
        while prompt < promptCount {
            priors[prompt] = reader.readDouble()
            initials[prompt] = Int64(reader.read(UInt32.self))
            maxima[prompt] = Int64(reader.read(UInt32.self))
            inFlight[prompt] = Int64(reader.read(UInt32.self))
            prompt &+= 1
        }
        var row = 0
        while row < observationCount {
            indices[row] = Int64(reader.read(UInt32.self))
            rewards[row] = reader.readDouble()
            row &+= 1
        }
        var mixture: UnsafeMutablePointer<Mixture>?
        if model == 2 {
            let read = try workspace.take(Mixture.self, count: 1)
            read.initialize(to: .empty)
            read.pointee.calibration = calibration
            read.pointee.weights = reader.readMixtureNumbers()
            try read.pointee.check()
            mixture = read
        }
        let weights = hasWeights ? try workspace.take(Double.self, count: observationCount) : nil
        row = 0
        while let weights, row < observationCount {
            weights[row] = reader.readDouble()
            row &+= 1
        }
        try reader.finish()
        try self.init(
            options: options, calibration: model == 1 ? calibration : nil, mixture: mixture.map { UnsafePointer($0) },
            count: promptCount, priors: priors, initials: initials, maxima: maxima)
        do {
            try restore(
                inFlight: inFlight, indices, rewards, weights: weights.map { UnsafePointer($0) },
                count: observationCount, isStopped: stopped == 1)
        } catch {
            release()
            throw error
        }
    }
}
