// Whether memory can hold a model, before any of it is made.

/// The memory of a model's weights, as counted from its outline.
struct ModelMemory {
    /// Numbers of all parameters; `Int.max` where that is too small.
    private(set) var floats = 0
    /// The number of tensors.
    private(set) var tensors = 0

    init(of model: some Module) {
        var seen = Set<ObjectIdentifier>()
        for (_, parameter) in model.state where seen.insert(ObjectIdentifier(parameter)).inserted {
            floats = floats.plusClamped(Int.clampedProduct(parameter.shape))
            tensors += 1
        }
    }

    /// What a tensor takes beside its numbers, at least.
    private static let overhead = 512

    var bytes: Int { floats.timesClamped(4).plusClamped(tensors * Self.overhead) }
}

extension Architecture {
    /// Builds a model, if there is memory for it.
    /// - Parameters:
    ///   - configuration, file: as of `makeModel`.
    ///   - make: builds the model of a configuration; is called several times, with smaller ones too.
    /// - Throws: `InputError` that says how much memory the model would need, how much there is, and which key to lower;
    ///   or what `make` throws.
    public func modelThatFits<Model: LanguageModel>(
        _ configuration: JSONValue, file: String, make: (JSONValue) throws -> Model
    ) throws -> Model {
        let bytes = try memory(of: configuration, make)
        try MemoryLimits.requireRoom(
            for: bytes, "\(file): the model's weights take",
            remedy: remedy(for: configuration, bytes, make))
        return try make(configuration)
    }

    /// Bytes of a configuration's weights. Of models of very many layers, from fewer of them as soon as these are too much.
    private func memory<Model: LanguageModel>(
        of configuration: JSONValue, _ make: (JSONValue) throws -> Model
    ) throws -> Int {
        func count(_ configuration: JSONValue) throws -> ModelMemory {
            try Outline.making { ModelMemory(of: try make(configuration)) }
        }
        let room = MemoryLimits.tensorRoom.bytes
        for key in Self.depthKeys {
            guard let depth = configuration.objectValue?[key]?.intValue, depth > 2 else { continue }
            var layers = 1
            while 2 * layers < depth {
                // A configuration may be impossible with fewer layers; then with all of them only.
                guard let less = try? count(configuration.setting([key: .integer(layers)])),
                    let more = try? count(configuration.setting([key: .integer(2 * layers)]))
                else { break }
                let each = (more.bytes - less.bytes) / layers
                let all = more.bytes.plusClamped(each.timesClamped(depth - 2 * layers))
                if more.tensors > Self.mostTensors || more.bytes > room { return max(all, room.plusClamped(1)) }
                layers *= 2
            }
        }
        return try count(configuration).bytes
    }

    private static var depthKeys: [String] { ["depth", "n_layers", "enc_depth", "dec_depth"] }
    /// More than any model has, and as many as are counted within a second.
    private static var mostTensors: Int { 1 << 18 }

    /// The key of the configuration that makes the most difference, as an advice.
    private func remedy<Model: LanguageModel>(
        for configuration: JSONValue, _ bytes: Int, _ make: (JSONValue) throws -> Model
    ) -> String {
        let sizes = (configuration.objectValue ?? [:]).compactMap { key, value in
            value.intValue.flatMap { $0 > 1 ? (key: key, size: $0) : nil }
        }
        let largest = sizes.sorted { ($0.size, $1.key) > ($1.size, $0.key) }.prefix(6)
        let savings = largest.compactMap { key, size in
            (try? memory(of: configuration.setting([key: .integer(max(1, size / 1024))]), make)).map {
                (key: key, size: size, bytes: $0)
            }
        }
        // The first of equals is the largest number.
        guard let best = savings.min(by: { $0.bytes < $1.bytes }), best.bytes < bytes else {
            return "expected a smaller configuration"
        }
        return "lower \(JSONValue.quoted(best.key)), which is \(best.size)"
    }
}
