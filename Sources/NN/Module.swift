import Tensors

/// A part of a model: something with parameters that have names.
///
/// Modules are immutable classes or structs around `Parameter`s, so several threads may run one at the same time.
public protocol Module: Sendable {
    /// Names every parameter, buffer and child, in the order of the data. The names are those of the PyTorch package the
    /// model must agree with, so that checkpoints move both ways.
    func collect(into state: inout StateCollector)
}

/// Gathers the parameters of a module under dotted names.
public struct StateCollector {
    /// The parameters with their keys, in order.
    public private(set) var entries: [(key: String, parameter: Parameter)] = []
    /// Other names by which files may have a key's parameter.
    public private(set) var aliases: [String: String] = [:]
    /// Tables that rows are looked up in.
    private(set) var tables: Set<ObjectIdentifier> = []
    /// Parameters that are neither trained nor saved, on purpose.
    private(set) var leftOut: Set<ObjectIdentifier> = []
    private var prefix = ""

    /// Creates an empty collector.
    public init() {}

    /// - Parameter alias: an alternative key, tried when a file lacks `name`.
    public mutating func add(_ name: String, _ parameter: Parameter, alias: String? = nil) {
        entries.append((prefix + name, parameter))
        aliases[prefix + name] = alias.map { prefix + $0 }
        if let adapter = parameter.adapter {
            let keys = AdapterKeys(of: prefix + name)
            entries += [(keys.down, adapter.down), (keys.up, adapter.up)]
        }
    }

    /// Adds a table that rows are looked up in, as embeddings are: `Module.withoutDecay` lists it.
    public mutating func addTable(_ name: String, _ parameter: Parameter) {
        add(name, parameter)
        tables.insert(ObjectIdentifier(parameter))
    }

    /// Adds the parameters of a module under a name.
    public mutating func add(_ name: String, _ module: any Module) {
        let outer = prefix
        prefix += name + "."
        module.collect(into: &self)
        prefix = outer
    }

    /// Leaves a parameter out on purpose, such as the average of another over the training: it is neither trained nor saved,
    /// and debug builds, which end the program where a parameter was forgotten, pass over it.
    public mutating func leaveOut(_ parameter: Parameter) { leftOut.insert(ObjectIdentifier(parameter)) }

    /// Leaves all parameters of a module out on purpose, such as those of a teacher; see the form with a parameter.
    public mutating func leaveOut(_ module: any Module) {
        var collector = StateCollector()
        module.collect(into: &collector)
        leftOut.formUnion(collector.leftOut)
        leftOut.formUnion(collector.entries.map { ObjectIdentifier($0.parameter) })
    }

    /// Children named by their position.
    public mutating func add(_ name: String, _ modules: [any Module]) {
        for (index, module) in modules.enumerated() { add("\(name).\(index)", module) }
    }
}

extension Module {
    /// Every parameter and buffer with its state-dict key. A shared parameter has several keys.
    public var state: [(key: String, parameter: Parameter)] {
        var collector = StateCollector()
        collect(into: &collector)
        #if DEBUG
            requireCollected(collector)
        #endif
        return collector.entries
    }

    /// The trainable parameters with their (first) keys, each once.
    public var trainable: [(key: String, parameter: Parameter)] {
        var seen = Set<ObjectIdentifier>()
        return state.filter { $0.parameter.isTrainable && seen.insert(ObjectIdentifier($0.parameter)).inserted }
    }

    /// The number of trainable floats.
    public var parameterCount: Int { trainable.reduce(0) { $0 + $1.parameter.count } }
}
