import Tensors

// A model's parameters and buffers as a safetensors file, under the names of the PyTorch package it agrees with.

extension Module {
    /// Writes every parameter and buffer, F32, atomically; of rounded weights the floats that they stand for. A parameter that is shared stands under each of its keys, as in
    /// PyTorch's state dicts.
    /// - Parameter metadata: the file's `__metadata__`.
    /// - Throws: `InputError` that names the path and the system's reason.
    public func save(to path: String, metadata: [String: String] = [:]) throws {
        var writer = SafetensorsWriter(metadata: metadata)
        try writer.add(self)
        try writer.write(to: path)
    }

    /// Reads every parameter from a safetensors file; F16, BF16 and F64 weights are converted.
    ///
    /// Strict: the file must hold exactly the keys of this module, in their shapes. Buffers are not taken from the file,
    /// but must agree with what the module computed (relative 1e-5, or the precision of a narrower type); the keys of a
    /// shared parameter must hold equal values. Nothing is changed unless everything fits.
    /// - Throws: one `InputError` that names the file and all that does not fit.
    public func load(from path: String) throws { try load(try SafetensorsFile(path: path)) }

    /// Reads every parameter from an open file.
    /// - Parameter prefix: what stands before the keys of this module; the file's other tensors are then left alone.
    public func load(_ file: SafetensorsFile, prefix: String = "") throws {
        require(roundedFormat == nil, "load: the model's weights are rounded; expected a model of floats")
        var misfits = Misfits()
        let state = entries(in: file, prefix)
        let keys = Set(state.map(\.key))
        misfits.unused = file.names.filter { $0.hasPrefix(prefix) && !keys.contains($0) }
        var firstKeys: [ObjectIdentifier: String] = [:]
        for (key, parameter) in state {
            guard let entry = file.entries[key] else {
                misfits.missing.append(key)
                continue
            }
            guard entry.shape == parameter.shape, parameter.accepts(entry.dtype) else {
                misfits.misshaped.append(
                    "\(key) is \(entry.dtype.rawValue) \(entry.shape), expected F32 \(parameter.shape)")
                continue
            }
            if parameter.kind == .computed, let difference = try parameter.difference(from: file, key) {
                misfits.different.append(difference)
            }
            guard let first = firstKeys[ObjectIdentifier(parameter)] else {
                firstKeys[ObjectIdentifier(parameter)] = key
                continue
            }
            if try file.bits(key) != file.bits(first) { misfits.unequal.append("\(first) and \(key)") }
        }
        if let problems = misfits.description { throw InputError("\(file.path): does not fit the model: \(problems)") }
        for (key, parameter) in state where parameter.kind != .computed {
            try file.copyFloats(of: key, into: parameter.value.mutablePointer)
        }
    }

    /// Every parameter and buffer with the key that the file has it by.
    private func entries(in file: SafetensorsFile, _ prefix: String) -> [(key: String, parameter: Parameter)] {
        var collector = StateCollector()
        collect(into: &collector)
        return collector.entries.map { key, parameter in
            if file.entries[prefix + key] == nil, let alias = collector.aliases[key],
                file.entries[prefix + alias] != nil
            {
                return (prefix + alias, parameter)
            }
            return (prefix + key, parameter)
        }
    }
}

extension SafetensorsWriter {
    /// Adds every parameter and buffer of a module, F32, under its state-dict key.
    /// - Throws: `InputError` when a name is taken.
    public mutating func add(_ module: some Module) throws {
        for (key, parameter) in module.state { try add(key, parameter.floats()) }
    }
}

/// Everything that keeps a file from being a model's weights.
private struct Misfits {
    var missing: [String] = []
    var unused: [String] = []
    var misshaped: [String] = []
    var different: [String] = []
    var unequal: [String] = []

    /// All of it in one line; nil when there is nothing.
    var description: String? {
        let kinds = [
            (missing, "missing", "missing"), (unused, "unused", "unused"),
            (misshaped, "of another shape or type", "of another shape or type"),
            (different, "buffer with other values", "buffers with other values"),
            (unequal, "shared parameter with unequal values", "shared parameters with unequal values"),
        ]
        let parts = kinds.filter { !$0.0.isEmpty }.map { items, one, many in
            "\(items.count) \(items.count == 1 ? one : many) (\(Self.list(items)))"
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }

    /// The first of many: a model has hundreds of keys, and one wrong setting makes them all wrong.
    private static func list(_ items: [String], limit: Int = 8) -> String {
        let shown = items.prefix(limit).joined(separator: ", ")
        return items.count > limit ? "\(shown) and \(items.count - limit) more" : shown
    }
}

extension Parameter {
    /// Weights are floats; buffers may have been integers.
    fileprivate func accepts(_ dtype: SafetensorsType) -> Bool {
        switch dtype {
        case .float64, .float32, .float16, .bfloat16: true
        case .int64, .int32, .int16, .int8, .uint8, .bool: kind == .computed
        }
    }

    /// Where a buffer in a file is not what the model computed, for the message; nil where it is.
    fileprivate func difference(from file: SafetensorsFile, _ key: String) throws -> String? {
        // What rounding to the file's type may change: half a unit in the last place, and the smallest halves.
        let (relative, absolute): (Float, Float) =
            switch file.entries[key]?.dtype {
            case .float16: (1e-3, 1e-7)
            case .bfloat16: (1e-2, 0)
            default: (1e-5, 0)
            }
        for (index, (found, expected)) in zip(try file.tensor(key).values, value.values).enumerated() {
            if found == expected || (found.isNaN && expected.isNaN) { continue }
            let isClose = abs(found - expected) <= relative * max(abs(found), abs(expected)) + absolute
            // Infinities are close to nothing but themselves.
            if !isClose || found.isInfinite || expected.isInfinite {
                return "\(key) has \(found) at \(index), expected \(expected)"
            }
        }
        return nil
    }
}

extension SafetensorsFile {
    /// A tensor's elements as the bits of floats, so that NaN equals itself.
    fileprivate func bits(_ name: String) throws -> [UInt32] { try tensor(name).values.map(\.bitPattern) }
}
