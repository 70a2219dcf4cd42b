extension SafetensorsFile {
    /// A tensor of any type the format has, as floats; see `copyFloats`.
    /// - Throws: `InputError` when there is no such tensor.
    public func tensor(_ name: String) throws -> Tensor {
        let tensor = Tensor(uninitialized: try entry(name).shape)
        try copyFloats(of: name, into: tensor.mutablePointer)
        return tensor
    }

    /// A tensor of integers; see `copyInt32s`.
    /// - Throws: `InputError` when there is no such tensor, its elements are floats, or one is out of Int32's range.
    public func tokens(_ name: String) throws -> TokenTensor {
        let entry = try entry(name)
        let values = try [Int32](unsafeUninitializedCapacity: entry.count) { buffer, count in
            if let start = buffer.baseAddress { try copyInt32s(of: name, into: start) }
            count = entry.count
        }
        return TokenTensor(values, shape: entry.shape)
    }
}

extension SafetensorsWriter {
    /// Adds a tensor as F32. Its memory is read during `write`: it must not be changed in place before that.
    /// - Throws: `InputError` when the name is taken or reserved.
    public mutating func add(_ name: String, _ tensor: Tensor) throws {
        try add(name, dtype: .float32, shape: tensor.shape) { output in
            let dense = tensor.contiguous()
            try withExtendedLifetime(dense) {
                try output(UnsafeRawBufferPointer(start: dense.pointer, count: dense.count * MemoryLayout<Float>.size))
            }
        }
    }

    /// Adds tokens, as I64 (what PyTorch's indices are) or I32.
    /// - Throws: `InputError` when the name is taken or reserved.
    public mutating func add(_ name: String, _ tokens: TokenTensor, as dtype: SafetensorsType = .int64) throws {
        require(dtype == .int64 || dtype == .int32, "SafetensorsWriter: tokens as \(dtype); expected int64 or int32")
        if dtype == .int32 {
            try add(name, shape: tokens.shape, int32s: tokens.values)
        } else {
            try add(name, shape: tokens.shape, int64s: tokens.values.map(Int64.init))
        }
    }
}
