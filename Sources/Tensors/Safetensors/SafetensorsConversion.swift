import CKernels

extension SafetensorsFile {
    /// Copies a tensor's elements, row-major, as floats: F32 bit for bit, narrower floats exactly, F64 and integers
    /// rounded to nearest, BOOL as 0 and 1.
    /// - Parameter destination: room for `entries[name]!.count` floats.
    /// - Throws: `InputError` when there is no such tensor, or its type cannot be read.
    public func copyFloats(of name: String, into destination: UnsafeMutablePointer<Float>) throws {
        let dtype = try entry(name).dtype
        try withUnsafeBytes(of: name) { source in
            switch dtype {
            case .float32:
                UnsafeMutableRawBufferPointer(start: destination, count: source.count).copyMemory(from: source)
            case .float16: convertHalves(source, destination, az_half_to_float)
            case .bfloat16: convertHalves(source, destination, az_bfloat16_to_float)
            case .float64: convert(source, destination) { (x: Double) in Float(x) }
            case .int64: convert(source, destination) { (x: Int64) in Float(x) }
            case .int32: convert(source, destination) { (x: Int32) in Float(x) }
            case .int16: convert(source, destination) { (x: Int16) in Float(x) }
            case .int8: convert(source, destination) { (x: Int8) in Float(x) }
            case .uint64: convert(source, destination) { (x: UInt64) in Float(x) }
            case .uint32: convert(source, destination) { (x: UInt32) in Float(x) }
            case .uint16: convert(source, destination) { (x: UInt16) in Float(x) }
            case .uint8: convert(source, destination) { (x: UInt8) in Float(x) }
            case .bool: convert(source, destination) { (x: UInt8) in x == 0 ? 0 : 1 }
            case .other(let type): throw unreadable(name, type, expected: SafetensorsType.readable)
            }
        }
    }

    /// Copies a tensor of integers (I8 to I64, U8 to U64) or BOOL, row-major, as Int32.
    /// - Parameter destination: room for `entries[name]!.count` integers; partly written when an error is thrown.
    /// - Throws: `InputError` when there is no such tensor, when its elements are of another type, and when a value leaves
    ///   the range of Int32.
    public func copyInt32s(of name: String, into destination: UnsafeMutablePointer<Int32>) throws {
        let dtype = try entry(name).dtype
        try withUnsafeBytes(of: name) { source in
            switch dtype {
            case .float64, .float32, .float16, .bfloat16, .other:
                throw unreadable(name, dtype.rawValue, expected: SafetensorsType.readable.filter { !$0.isFloat })
            case .int64: try convert(source, destination) { (x: Int64) in try narrowed(x, name) }
            case .uint64: try convert(source, destination) { (x: UInt64) in try narrowed(x, name) }
            case .uint32: try convert(source, destination) { (x: UInt32) in try narrowed(x, name) }
            case .uint16: convert(source, destination) { (x: UInt16) in Int32(x) }
            case .int32: convert(source, destination) { (x: Int32) in x }
            case .int16: convert(source, destination) { (x: Int16) in Int32(x) }
            case .int8: convert(source, destination) { (x: Int8) in Int32(x) }
            case .uint8: convert(source, destination) { (x: UInt8) in Int32(x) }
            case .bool: convert(source, destination) { (x: UInt8) in x == 0 ? 0 : 1 }
            }
        }
    }

    private func narrowed(_ value: some BinaryInteger, _ name: String) throws -> Int32 {
        guard let narrow = Int32(exactly: value) else {
            throw safetensorsError(
                path, tensor: name, "value \(value) is out of range; expected \(Int32.min) to \(Int32.max)")
        }
        return narrow
    }

    private func unreadable(_ name: String, _ type: String, expected: [SafetensorsType]) -> InputError {
        let list = expected.map(\.rawValue)
        return safetensorsError(
            path, tensor: name,
            "is \(type.shortened); expected \(list.dropLast().joined(separator: ", ")) or \(list.last!)")
    }
}

/// Converts element by element from bytes at any alignment.
private func convert<Source: BitwiseCopyable, Value>(
    _ source: UnsafeRawBufferPointer, _ destination: UnsafeMutablePointer<Value>,
    _ value: (Source) throws -> Value
) rethrows {
    guard let start = source.baseAddress else { return }
    for i in 0..<source.count / MemoryLayout<Source>.size {
        destination[i] = try value(start.loadUnaligned(fromByteOffset: i * MemoryLayout<Source>.size, as: Source.self))
    }
}

/// Converts 16-bit floats by a kernel, in blocks that are copied to where they are aligned.
private func convertHalves(
    _ source: UnsafeRawBufferPointer, _ destination: UnsafeMutablePointer<Float>,
    _ kernel: (Int, UnsafePointer<UInt16>, UnsafeMutablePointer<Float>) -> Void
) {
    let count = source.count / 2
    withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 4096) { block in
        for start in stride(from: 0, to: count, by: block.count) {
            let length = min(block.count, count - start)
            UnsafeMutableRawBufferPointer(block).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: source[2 * start..<2 * (start + length)]))
            kernel(length, block.baseAddress!, destination + start)
        }
    }
}
