package bert

import (
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
