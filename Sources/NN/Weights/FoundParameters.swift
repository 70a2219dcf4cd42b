import Tensors

/// The tensors of a checkpoint by the model's own names.
struct StoredTensors {
    let path: String
    let names: Set<String>
    let prefix: String
    private let weights: WeightFiles
    /// The names in the file, without the prefix, of tensors that were renamed.
    private let originals: [String: String]

    /// - Parameters:
    ///   - names: those of the model's tensors, without `prefix`.
    ///   - prefix: what stands before them in the files.
    ///   - originals: the names in the files, without the prefix, of tensors that were renamed.
    init(_ weights: WeightFiles, names: [String], prefix: String, originals: [String: String] = [:]) {
        (self.weights, self.names, self.prefix) = (weights, Set(names), prefix)
        self.originals = originals
        path = weights.path
    }

    /// The name in the file.
    private func stored(_ name: String) -> String { prefix + (originals[name] ?? name) }

    func entry(_ name: String) -> SafetensorsFile.Entry? { weights.entry(stored(name)) }

    /// The name that the metadata give for one that is not in the file, as `save_model` writes them of shared tensors.
    func standIn(for name: String) -> String? {
        guard let other = weights.metadata[prefix + name] ?? weights.metadata[name] else { return nil }
        return [other, String(other.dropFirst(prefix.count))].first(where: names.contains)
    }

    func copyFloats(of name: String, into destination: UnsafeMutablePointer<Float>) throws {
        try weights.file(of: stored(name)).copyFloats(of: stored(name), into: destination)
    }

    func tensor(_ name: String) throws -> Tensor { try weights.file(of: stored(name)).tensor(stored(name)) }

    /// Returns true if two tensors of one shape hold the same values, bit for bit, so that NaN equals itself.
    func areEqual(_ first: String, _ second: String) throws -> Bool {
        guard entry(first)?.dtype == entry(second)?.dtype else {
            return try tensor(first).values.map(\.bitPattern) == tensor(second).values.map(\.bitPattern)
        }
        return try weights.file(of: stored(first)).withUnsafeBytes(of: stored(first)) { a in
            try weights.file(of: stored(second)).withUnsafeBytes(of: stored(second)) { b in a.elementsEqual(b) }
        }
    }
}

/// The place of each parameter of a model in a checkpoint, and all that keeps the checkpoint from being the model's
/// weights.
struct FoundParameters {
    /// Each parameter once, with the name of its values.
    private(set) var sources: [(parameter: Parameter, name: String)] = []
    /// The keys whose values have another name, and that name.
    private(set) var otherNames: [String: String] = [:]
    private(set) var misfits = Misfits()
    /// The keys whose values fit, buffers left out.
    private(set) var taken: [String] = []

    /// The names that have been looked at, and whether their tensors fit.
    private var fits: [String: Bool] = [:]
    /// The name of a parameter's values, by its identity.
    private var firstNames: [ObjectIdentifier: String] = [:]

    /// - Parameter excluded: the keys to pass over, in the model and in the file.
    init(_ collector: StateCollector, _ stored: StoredTensors, excluding excluded: ParameterSelection = []) throws {
        let entries = collector.entries.filter { !excluded.contains($0.key) }
        var keys: [ObjectIdentifier: [String]] = [:]
        for (key, parameter) in entries { keys[ObjectIdentifier(parameter), default: []].append(key) }
        for (key, parameter) in entries {
            let shared = keys[ObjectIdentifier(parameter)]!
            guard let name = Self.name(of: key, sharedWith: shared, collector, stored) else {
                misfits.missing.append(key)
                continue
            }
            if name != key, name != collector.aliases[key] { otherNames[key] = name }
            try take(name, for: parameter, stored)
            if fits[name] == true, parameter.kind != .computed { taken.append(key) }
        }
        misfits.unused = stored.names.filter { fits[$0] == nil && !excluded.contains($0) }.sorted()
    }

    /// The sources whose shapes are the parameters'.
    var fitting: [(parameter: Parameter, name: String)] { sources.filter { fits[$0.name] == true } }

    /// The name that a key's values have in the file: the key itself, the alternative, what the metadata name for it, or
    /// another key of the same parameter.
    private static func name(
        of key: String, sharedWith keys: [String], _ collector: StateCollector, _ stored: StoredTensors
    ) -> String? {
        func own(_ key: String) -> String? {
            [key, collector.aliases[key]].compactMap { $0 }.first(where: stored.names.contains)
        }
        return own(key) ?? stored.standIn(for: key) ?? keys.lazy.compactMap(own).first
            ?? keys.lazy.compactMap(stored.standIn).first
    }

    /// Checks a tensor and keeps it as the parameter's source, or compares it with the one that is that already.
    private mutating func take(_ name: String, for parameter: Parameter, _ stored: StoredTensors) throws {
        let first = firstNames[ObjectIdentifier(parameter)]
        guard first != name else { return }
        let fitsHere = try check(name, for: parameter, stored)
        fits[name] = fitsHere
        guard let first else {
            firstNames[ObjectIdentifier(parameter)] = name
            sources.append((parameter, name))
            return
        }
        guard fitsHere, fits[first] == true, try !stored.areEqual(first, name) else { return }
        misfits.unequal.append("\(first) and \(name)")
    }

    private mutating func check(_ name: String, for parameter: Parameter, _ stored: StoredTensors) throws -> Bool {
        let entry = stored.entry(name)!  // one of the file's names
        guard entry.shape == parameter.shape, parameter.accepts(entry.dtype) else {
            misfits.misshaped.append(
                "\(name) is \(entry.dtype.rawValue.shortened) \(entry.shape), expected F32 \(parameter.shape)")
            return false
        }
        if parameter.kind == .computed, let difference = try parameter.difference(from: stored, name) {
            misfits.different.append(difference)
        }
        return true
    }
}

/// Everything that keeps a file from being a model's weights.
struct Misfits {
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
    static func list(_ items: [String], limit: Int = 8) -> String {
        let shown = items.prefix(limit).map { $0.shortened }.joined(separator: ", ")
        return items.count > limit ? "\(shown) and \(items.count - limit) more" : shown
    }
}

extension Parameter {
    /// Weights are floats; buffers may have been integers.
    fileprivate func accepts(_ dtype: SafetensorsType) -> Bool {
        if case .other = dtype { return false }
        return dtype.isFloat || kind == .computed
    }

    /// Describes where a buffer in a file differs from the one that the model computed; nil if it does not.
    fileprivate func difference(from stored: StoredTensors, _ name: String) throws -> String? {
        // What rounding to the file's type may change: half a unit in the last place, and the smallest halves.
        let (relative, absolute): (Float, Float) =
            switch stored.entry(name)?.dtype {
            case .float16: (1e-3, 1e-7)
            case .bfloat16: (1e-2, 0)
            default: (1e-5, 0)
            }
        for (index, (found, expected)) in zip(try stored.tensor(name).values, value.values).enumerated() {
            if found == expected || (found.isNaN && expected.isNaN) { continue }
            let isClose = abs(found - expected) <= relative * max(abs(found), abs(expected)) + absolute
            // Infinities are close to nothing but themselves.
            if !isClose || found.isInfinite || expected.isInfinite {
                return "\(name) has \(found) at \(index), expected \(expected)"
            }
        }
        return nil
    }
}
