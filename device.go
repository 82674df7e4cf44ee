package bert

import (
	"sync"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// Device opens the device that a model computes on: see Options.Device. Devices implement this module's internal contract
// (internal/compute), and so are made inside it.
type Device struct {
	open func(threads int, p Precision) (compute.Device, error)
}

// NewDevice makes a Device from a function that opens it with a number of threads, 0 for all, and a precision. Each model opens
// its own, and closes it.
func NewDevice(open func(threads int, p Precision) (compute.Device, error)) *Device {
	return &Device{open}
}

// OnKernels is the processor, computing with the kernels that Model.Kernels named, on this machine or another. ok is false where
// this machine lacks them, or has other bits at the precision.
func OnKernels(name string, p Precision) (d *Device, ok bool) {
	if !cpu.HasKernels(name, p) {
		return nil, false
	}
	return NewDevice(func(threads int, p Precision) (compute.Device, error) {
		d, err := cpu.NewOn(name, threads, p)
		if err != nil {
			return nil, err // not d, which would be an interface that isn't nil
		}
		return d, nil
	}), true
}

// ShareDevice is the processor with one set of workers for all models that are opened with it at the same precision: their operations
// take turns, so that several models that compute at once have no more threads than one. threads is as Options.Threads, which is not
// looked at. The workers end with the last model. Weights that several models have, such as those of one encoder under different heads, are
// laid out for the kernels once.
func ShareDevice(threads int) *Device {
	var (
		mu   sync.Mutex
		open = make(map[Precision]*sharedProcessor)
	)
	return NewDevice(func(_ int, p Precision) (compute.Device, error) {
		mu.Lock()
		defer mu.Unlock()
		shared := open[p]
		if shared == nil {
			d, err := cpu.New(threads, p)
			if err != nil {
				return nil, err
			}
			d.ShareWeights()
			shared = &sharedProcessor{Device: d}
			open[p] = shared
		}
		shared.users++
		return &user{Device: shared.Device, leave: sync.OnceFunc(func() {
			mu.Lock()
			defer mu.Unlock()
			if shared.users--; shared.users == 0 {
				delete(open, p)
				shared.Close()
			}
		})}, nil
	})
}

// sharedProcessor is a device of several models.
type sharedProcessor struct {
	*cpu.Device
	users int
}

// user is a model's part in a shared device.
type user struct {
	*cpu.Device
	leave func()
}

// Close leaves the device to the others.
func (u *user) Close() { u.leave() }

// openDevice opens the device of o.
func (o *Options) openDevice() (compute.Device, error) {
	if o.Device != nil {
		return o.Device.open(o.Threads, o.Precision)
	}
	d, err := cpu.New(o.Threads, o.Precision)
	if err != nil {
		return nil, err // not d, which would be an interface that isn't nil
	}
	return d, nil
}
