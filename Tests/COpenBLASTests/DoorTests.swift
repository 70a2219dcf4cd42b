import COpenBLAS
import Foundation
import Testing

@Suite("A door for so many threads") struct DoorTests {
    private final class Room: @unchecked Sendable {
        let door: OpaquePointer
        private let lock = NSLock()
        private(set) var most = 0, visits = 0
        private var inside = 0

        init(capacity: Int32, sure: Int32 = 1, hasRoom: (@convention(c) (Int32) -> Int32)? = nil) {
            door = az_make_door(capacity, sure, hasRoom)
        }
        deinit { az_free_door(door) }

        func visit() {
            az_enter(door)
            lock.withLock {
                inside += 1
                visits += 1
                most = max(most, inside)
            }
            sched_yield()
            lock.withLock { inside -= 1 }
            az_leave(door)
        }
    }

    @Test("A door never lets in more than its capacity, and everybody in the end", arguments: [1, 3, 64])
    func capacity(_ capacity: Int32) {
        let room = Room(capacity: capacity)
        visit(room)
        #expect(room.most <= Int(capacity) && room.most >= 1)
    }

    @Test("A door lets in no more than have room", arguments: [Int32(1), 2, 5])
    func room(_ sure: Int32) {
        // Room for two beside those that are sure.
        let room = Room(capacity: 64, sure: sure) { $0 <= 2 ? 1 : 0 }
        visit(room)
        #expect(room.most <= Int(sure) + 2)
        let full = Room(capacity: 64, sure: sure) { _ in 0 }
        visit(full)
        #expect(full.most <= Int(sure))
    }

    private func visit(_ room: Room) {
        let threads = (0..<24).map { _ in
            let thread = Thread { for _ in 0..<200 { room.visit() } }
            thread.start()
            return thread
        }
        while threads.contains(where: { !$0.isFinished }) { usleep(1000) }
        #expect(room.visits == 24 * 200)
    }
}
