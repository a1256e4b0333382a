extension CheckpointWriter {
    public mutating func write(_ numbers: MixtureNumbers) {
        numbers.withPairs { write(UnsafeRawPointer($0).assumingMemoryBound(to: Double.self), count: 40) }
    }
}

extension CheckpointReader {
    public mutating func readMixtureNumbers() -> MixtureNumbers {
        var numbers = MixtureNumbers()
        numbers.withMutablePairs {
            read(to: UnsafeMutableRawPointer($0).assumingMemoryBound(to: Double.self), count: 40)
        }
        return numbers
    }
}
