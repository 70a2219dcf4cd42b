// The check that memory can hold a model, before any of it is made.

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

    /// The least memory that a tensor takes beside its numbers.
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
    func modelThatFits(
        _ configuration: JSONValue, file: String, make: (JSONValue) throws -> any LanguageModel
    ) throws -> any LanguageModel {
        let bytes = try memory(of: configuration, make)
        try MemoryLimits.requireRoom(
            for: bytes, "\(file): the model's weights take",
            remedy: remedy(for: configuration, bytes, make))
        return try make(configuration)
    }

    /// Bytes of a configuration's weights. Of models of very many layers, from fewer of them as soon as these are too much.
    private func memory(of configuration: JSONValue, _ make: (JSONValue) throws -> any LanguageModel) throws -> Int {
        func count(_ configuration: JSONValue) throws -> ModelMemory {
            try Outline.making { ModelMemory(of: try make(configuration)) }
        }
        let room = MemoryLimits.tensorRoom.bytes
        for key in Configuration.keys(of: .depth, in: configuration) {
            // What no model may have is refused as the configuration is read.
            guard let depth = configuration.objectValue?[key]?.intValue, depth <= ConfigurationReader.mostLayers else {
                continue
            }
            var (layers, before) = (1, Int?.none)
            while layers < depth {
                // A configuration may be impossible with fewer layers.
                let found = try? count(configuration.replacing([key: .integer(layers)]))
                if let found, let before, found.bytes > room || found.tensors > Self.mostTensors {
                    let rest = ((found.bytes - before) / (layers / 2)).timesClamped(depth - layers)
                    return found.bytes.plusClamped(rest)
                }
                (layers, before) = (2 * layers, found?.bytes)
            }
        }
        return try count(configuration).bytes
    }

    /// As many as are counted at once; more are taken to be like these.
    private static var mostTensors: Int { 1 << 15 }

    /// The key of the configuration that makes the most difference, as an advice.
    private func remedy(
        for configuration: JSONValue, _ bytes: Int, _ make: (JSONValue) throws -> any LanguageModel
    ) -> String {
        let sizes = (configuration.objectValue ?? [:]).compactMap { key, value in
            value.intValue.flatMap { $0 > 1 ? (key: key, size: $0) : nil }
        }
        let largest = sizes.sorted { ($0.size, $1.key) > ($1.size, $0.key) }.prefix(6)
        let savings = largest.compactMap { key, size in
            (try? memory(of: configuration.replacing([key: .integer(max(1, size / 1024))]), make)).map {
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
