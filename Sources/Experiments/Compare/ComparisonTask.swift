/// The tasks, by the names that `--task` takes.
package enum ComparisonTask: String, CaseIterable, Sendable {
    case text
    case recall
    case scale
    /// Recall at published settings, which `--published` chooses.
    case published

    /// Those that `--task` takes.
    package static let allCases: [ComparisonTask] = [.text, .recall, .scale]
}

/// One model in one task: what is measured in one piece, and kept when it is finished.
package enum ComparisonCell: Hashable, Sendable {
    case text(String, model: String)
    case recall(RecallTaskName, model: String)
    case scale(model: String, length: Int)
    case published(PublishedRecallCell)

    /// For people: text tinyshakespeare.txt, flash.
    package var title: String {
        switch self {
        case .text(let name, let model): "text \(name), \(model)"
        case .recall(let task, let model): "recall \(task.rawValue), \(model)"
        case .scale(let model, let length): "scale \(length), \(model)"
        case .published(let cell): "recall \(cell.title)"
        }
    }

    var task: ComparisonTask {
        switch self {
        case .text: .text
        case .recall: .recall
        case .scale: .scale
        case .published: .published
        }
    }
}

extension ComparisonResults {
    func has(_ cell: ComparisonCell) -> Bool {
        switch cell {
        case .text(let name, let model): text.contains { $0.text == name && $0.model == model }
        case .recall(let task, let model): recall.contains { $0.task == task && $0.model == model }
        case .scale(let model, let length): scale.contains { $0.model == model && $0.length == length }
        case .published(let cell): (published ?? []).contains { $0.finishes(cell) }
        }
    }

    /// Tells whether any cell of a task is finished.
    func has(_ task: ComparisonTask) -> Bool {
        switch task {
        case .text: !text.isEmpty
        case .recall: !recall.isEmpty
        case .scale: !scale.isEmpty
        case .published: !(published ?? []).isEmpty
        }
    }
}
